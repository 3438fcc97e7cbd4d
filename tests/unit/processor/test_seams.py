"""What is known in one place alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("benchmarks", "docs", "helm", "infra", "processor", "service")


def imported(source: str) -> set[str]:
    """The top packages that a module imports anywhere, also within a function or for types alone."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("import_module", "__import__"):
                found.add(str(node.args[0].value).partition(".")[0])
    return found


def modules_that_import(*packages: str) -> Iterator[str]:
    """The project's own modules, but for the tests."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if imported(path.read_text()) & set(packages):
                yield path.relative_to(ROOT).as_posix()


def test_one_module_knows_which_sdk_makes_the_clients() -> None:
    assert list(modules_that_import("aioboto3", "boto3")) == ["processor/stores/clients.py"]


def test_only_clients_and_the_session_of_the_role_know_what_is_under_it() -> None:
    assert list(modules_that_import("aiobotocore")) == [
        "processor/stores/clients.py",
        "processor/stores/role_session.py",
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import boto3",
        "import boto3.dynamodb.types as t",
        "from boto3.dynamodb import types",
        "def f():\n    import boto3",
        "if TYPE_CHECKING:\n    from boto3 import Session",
        "importlib.import_module('boto3.session')",
    ],
)
def test_no_way_to_import_goes_unseen(source: str) -> None:
    assert imported(source) == {"boto3"}


def test_only_who_is_told_no_tenant_reads_records_of_any() -> None:
    told_none = {
        "processor/catalog/reconcile.py",
        "processor/catalog/replay.py",
        "processor/catalog/verify.py",
        "processor/ports/jobs.py",
        "processor/stores/dynamodb.py",
        "processor/stores/memory/jobs.py",
        "processor/work/conversion.py",
        "processor/work/further.py",
        "processor/work/intake.py",
        "processor/work/tenants.py",
    }
    modules = (path for folder in ("processor", "service") for path in (ROOT / folder).rglob("*.py"))
    found = {str(path.relative_to(ROOT)) for path in modules if "_of_any_tenant" in path.read_text(encoding="utf-8")}
    assert found == told_none


#: What of a job store may end a job.
ENDING = ("accept", "replace", "finish", "fail", "tombstone")


def called_on_jobs(source: str, names: tuple[str, ...]) -> set[str]:
    """The methods of a job store that a module calls, under whatever name it has the store."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in names:
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if "jobs" in name.lower():
                found.add(node.attr)
    return found


def test_jobs_end_through_one_door() -> None:
    """But for a tombstone, which the catalog writes: what it ends is told with the erasure that follows."""
    modules = (path for folder in ("processor", "service") for path in (ROOT / folder).rglob("*.py"))
    found = {
        str(path.relative_to(ROOT)): called
        for path in modules
        if "stores" not in path.parts and (called := called_on_jobs(path.read_text(encoding="utf-8"), ENDING))
    }
    assert found == {
        "processor/endings.py": {"accept", "replace", "finish", "fail"},
        "processor/catalog/images.py": {"tombstone"},
    }
