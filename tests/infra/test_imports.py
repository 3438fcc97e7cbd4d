"""What outlived its stack is found, and cut out of the template as an import wants it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from infra.imports import KEPT, cut_out, main
from tests.infra.template import ACCOUNT_ID, PATH, Stack, complaints, load

ROOT = Path(__file__).parents[2]
NAMES = {
    "SourceBucket": f"truss-image-source-prod-{ACCOUNT_ID}",
    "ProcessedBucket": f"truss-image-processed-prod-{ACCOUNT_ID}",
    "LogsBucket": f"truss-image-logs-prod-{ACCOUNT_ID}",
    "ProcessingTable": "truss-image-processing-prod",
    "UserPool": "eu-west-1_ABC123",
}
#: Outlives its stack, because other stacks use it; `CreateGitHubProvider=false` takes the place of an import.
NOT_IMPORTED = {"GitHubProvider"}
#: What AWS says of something that is not there.
MISSING = {
    "s3api": "An error occurred (404) when calling the HeadBucket operation: Not Found",
    "dynamodb": "An error occurred (ResourceNotFoundException) when calling the DescribeTable operation: no such table",
    "ecr": "An error occurred (RepositoryNotFoundException) when calling the DescribeRepositories operation: none",
}

#: The indexes of the table.


def _indexes() -> list[str]:
    return [each["IndexName"] for each in Stack().resource("ProcessingTable")["GlobalSecondaryIndexes"]]


Aws = Callable[..., None]


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """Put an AWS CLI on the path that knows the named things, and `pools` of users by id and name."""

    def put(
        *there: str, pools: Mapping[str, str] | None = None, refuses: str = "", indexes: Sequence[str] = _indexes()
    ) -> None:
        table = {"Table": {"GlobalSecondaryIndexes": [{"IndexName": name} for name in indexes]}}
        listed = {"UserPools": [{"Id": key, "Name": name} for key, name in (pools or {}).items()]}
        answers = {"sts": json.dumps({"Account": ACCOUNT_ID}), "cognito-idp": json.dumps(listed)}
        (tmp_path / "state.json").write_text(json.dumps([list(there), refuses, answers, MISSING, table]))
        command = tmp_path / "aws"
        command.write_text(
            f"#!{sys.executable}\n"
            "import json, sys\n"
            f"there, refuses, answers, missing, table = json.load(open({str(tmp_path / 'state.json')!r}))\n"
            "service = sys.argv[3]\n"
            "if service == refuses: sys.exit('An error occurred (403): Forbidden')\n"
            "if service in answers: print(answers[service])\n"
            "elif sys.argv[-1] not in there: sys.exit(missing[service])\n"
            "elif service == 'dynamodb': print(json.dumps(table))\n"
        )
        command.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return put


def _import(folder: Path, *more: str) -> tuple[int, Any, Any]:
    """The exit code, and what is to be imported with which template."""
    code = main(["--stage", "prod", "--folder", str(folder), *more])
    if code:
        return code, None, None
    return code, json.loads((folder / "resources.json").read_text()), load(folder / "template.yaml")


@pytest.mark.parametrize("template", KEPT)
def test_all_that_outlives_its_stack_can_be_imported(template: str) -> None:
    made = load(PATH.with_name(f"{template}.yaml"))["Resources"]
    kept = {name for name, each in made.items() if each.get("DeletionPolicy", "Delete") != "Delete"}
    assert kept - NOT_IMPORTED == KEPT[template].keys()
    assert {name: each.kind for name, each in KEPT[template].items()} == {
        name: made[name]["Type"] for name in KEPT[template]
    }


def test_every_template_with_something_that_outlives_its_stack_is_known() -> None:
    paths = PATH.parent.glob("*.yaml")
    keeping = {path.stem for path in paths if "DeletionPolicy: Retain" in path.read_text()}
    assert keeping == KEPT.keys()


def test_each_is_named_by_what_identifies_it(tmp_path: Path, aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    aws(*NAMES.values(), pools={NAMES["UserPool"]: "truss-image-prod", "eu-west-1_OTHER1": "truss-image-dev"})
    code, resources, template = _import(tmp_path / "import")
    assert code == 0
    identified = {each["LogicalResourceId"]: each["ResourceIdentifier"] for each in resources}
    assert {name: next(iter(each.values())) for name, each in identified.items()} == NAMES
    assert [next(iter(each)) for each in identified.values()] == [*["BucketName"] * 3, "TableName", "UserPoolId"]
    types = {each["LogicalResourceId"]: each["ResourceType"] for each in resources}
    assert types == {name: each["Type"] for name, each in template["Resources"].items()}
    assert capsys.readouterr().out.splitlines() == [f"{name}: {identifier}" for name, identifier in NAMES.items()]


def test_a_registry_is_imported_into_the_stack_of_the_delivery(tmp_path: Path, aws: Aws) -> None:
    aws("truss-image-service-prod")
    _, resources, template = _import(tmp_path / "import", "--template", "delivery")
    assert [each["ResourceIdentifier"] for each in resources] == [{"RepositoryName": "truss-image-service-prod"}]
    assert template["Resources"].keys() == {"Registry"}


@pytest.mark.parametrize("name", ["SourceBucket", "ProcessedBucket", "ProcessingTable"])
def test_what_is_not_there_is_left_to_be_made(tmp_path: Path, aws: Aws, name: str) -> None:
    aws(NAMES[name])
    _, resources, template = _import(tmp_path / "import")
    assert [each["LogicalResourceId"] for each in resources] == [name]
    assert template["Resources"].keys() == {name}


@pytest.mark.parametrize("template", KEPT)
def test_a_template_for_an_import_has_what_aws_asks_for_and_no_more(tmp_path: Path, template: str) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(cut_out(template, list(KEPT[template])))
    loaded = load(path)
    assert complaints(path) == []
    assert loaded.keys() == {"AWSTemplateFormatVersion", "Description", "Parameters", "Resources"}
    assert loaded["Parameters"].keys() == {"Stage"}
    for each in loaded["Resources"].values():
        assert each.keys() == {"Type", "DeletionPolicy", "UpdateReplacePolicy", "Properties"}
        # AWS refuses a template that refers to what is not imported.
        referred = set(re.findall(r"\$\{([\w:]+)\}", json.dumps(each)))
        assert referred <= {"Stage", "AWS::AccountId"}
        assert not re.findall(r'"(Ref|Fn::(?!Sub)\w+)"', json.dumps(each))


@pytest.mark.parametrize("template", KEPT)
def test_what_is_imported_is_what_the_whole_template_says(tmp_path: Path, template: str) -> None:
    """Nothing of it is made anew by the update that follows, and the update sets what an import left out."""
    path = tmp_path / "template.yaml"
    path.write_text(cut_out(template, list(KEPT[template])))
    whole = load(PATH.with_name(f"{template}.yaml"))
    given = {"Stage": "prod", "CreateUserPool": "true"}
    imported, made = Stack(given, {**whole, "Resources": load(path)["Resources"]}), Stack(given, whole)
    for name, kept in KEPT[template].items():
        before, after = imported.resource(name), made.resource(name)
        assert before.items() <= after.items(), name
        added = after.keys() - before.keys()
        if kept.kind == "AWS::S3::Bucket":
            assert before.keys() == {"BucketName"}
        else:
            assert added <= {"DeletionProtection", "DeletionProtectionEnabled"}


def test_an_account_without_anything_has_nothing_to_import(
    tmp_path: Path, aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    aws()
    assert _import(tmp_path / "import")[0] == 1
    assert "There is nothing to import" in capsys.readouterr().err
    assert not (tmp_path / "import").exists()


def test_a_bucket_of_somebody_else_is_no_missing_bucket(
    tmp_path: Path, aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    aws(refuses="s3api")
    assert _import(tmp_path / "import")[0] == 1
    assert "(403)" in capsys.readouterr().err


def test_a_table_without_the_indexes_of_the_template_is_not_imported_as_if_it_had_them(
    tmp_path: Path, aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    aws(NAMES["ProcessingTable"], indexes=_indexes()[:-2])
    assert _import(tmp_path / "import")[0] == 1
    assert f"has no index {', '.join(sorted(_indexes()[-2:]))}" in capsys.readouterr().err


def test_two_user_pools_of_one_name_are_told_apart_by_a_person(
    tmp_path: Path, aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    aws(pools={"eu-west-1_A": "truss-image-prod", "eu-west-1_B": "truss-image-prod"})
    assert _import(tmp_path / "import")[0] == 1
    assert "eu-west-1_A, eu-west-1_B" in capsys.readouterr().err


def test_without_the_aws_cli_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _import(tmp_path / "import")[0] == 1
    assert "The AWS CLI is not installed" in capsys.readouterr().err


def test_the_command_needs_python_alone() -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from infra.imports import main; sys.exit(main(['--help']))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--folder" in done.stdout
