"""The environments are made from locks alone, on any machine, and whoever cannot make them is told what to do."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from docs.generate import ROOT
from models.__main__ import LOCK as MODELS_LOCK
from tests.packaging import dockerfile

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
SET_UP = ROOT / "requirements" / "set_up.py"
#: An index that nobody can reach.
NOWHERE = {"PIP_INDEX_URL": "http://127.0.0.1:1/simple", "PIP_RETRIES": "0"}
#: What a distribution asks for and never gets: the framework around files that are served without it.
LEFT_OUT = {("drf-spectacular-sidecar", "django")}


def _pins(lock: Path) -> dict[str, tuple[Requirement, int]]:
    """Every requirement of a lock by its name, and how many hashes it has."""
    whole = lock.read_text().replace("\\\n", " ")
    lines = [line for line in whole.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found: dict[str, tuple[Requirement, int]] = {}
    for line in lines:
        text, *hashes = line.split("--hash=")
        requirement = Requirement(text.strip())
        found[canonicalize_name(requirement.name)] = requirement, len(hashes)
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_pins_everything_exactly_and_by_hash(lock: Path) -> None:
    pins = _pins(lock)
    assert pins
    for requirement, hashes in pins.values():
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], requirement
        assert hashes, requirement


def _needs(requirement: Requirement) -> Iterator[Requirement]:
    """What an installed distribution asks for here, with the extras that are asked of it."""
    for text in distribution(requirement.name).requires or ():
        needed = Requirement(text)
        extras = requirement.extras or {""}
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in {*extras, ""}):
            yield needed


@pytest.mark.parametrize("name", ["runtime", "ai", "dev"])
def test_a_lock_is_complete_so_that_nothing_has_to_be_resolved(name: str) -> None:
    pins = _pins(ROOT / "requirements" / f"{name}.txt")
    here = [pin for pin, _ in pins.values() if pin.marker is None or pin.marker.evaluate()]
    missing = {
        (canonicalize_name(pin.name), canonicalize_name(needed.name))
        for pin in here
        for needed in _needs(pin)
        if canonicalize_name(needed.name) not in pins
    }
    assert missing - LEFT_OUT == set()


def test_the_tests_run_over_the_versions_that_are_deployed() -> None:
    tested = _pins(ROOT / "requirements" / "dev.txt")
    for lock in ("runtime", "ai"):
        deployed = _pins(ROOT / "requirements" / f"{lock}.txt")
        assert {name: pin.specifier for name, (pin, _) in deployed.items()} == {
            name: tested[name][0].specifier for name in deployed
        }


def _commands() -> Iterator[str]:
    """Every command that installs from a lock, wherever it stands."""
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    workflows = [path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml")]
    for text in (*dockerfile.commands(), *makefile.splitlines(), *"\n".join(workflows).splitlines()):
        if re.search(r"\bpip3?\b.*\b(install|wheel|download)\b", text):
            yield text


def test_locks_are_installed_without_resolving_wherever_they_are() -> None:
    commands = list(_commands())
    assert len(commands) > 4
    for command in commands:
        assert "--no-deps" in command, command
        locked = re.search(r"--require-hashes -r (requirements/|examples/requirements\.txt)", command)
        assert locked or "--no-index" in command or " ." in command, command


def _run(*arguments: str, at: Path = SET_UP, environment: dict[str, str] | None = None) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=at.parents[1],
        env={"PATH": os.environ["PATH"], "PIP_NO_CACHE_DIR": "1", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


def _as(patch: str, at: Path) -> tuple[int, str]:
    """Run the script in a Python that is patched first."""
    script = f"import runpy, sys; sys.argv[1:] = ['run']; {patch}; runpy.run_path({str(at)!r}, run_name='__main__')"
    return _run("-c", script, at=at)


def _copy(to: Path) -> Path:
    """The script in a folder of its own, with spaces in its name, where no environment is."""
    folder = to / "a new folder"
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder / "requirements" / "set_up.py"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return _copy(tmp_path)


@pytest.mark.parametrize("version", [(2, 7), (3, 6), (3, 10), (3, 15), (4, 0)])
def test_a_wrong_python_is_told_which_one_is_needed(version: tuple[int, int], copied: Path) -> None:
    code, said = _as(f"sys.version_info = ({version[0]}, {version[1]}, 1, 'final', 0)", copied)
    assert code == 1
    assert said.count("\n") == 1
    assert re.match(rf"Python 3\.11 to 3\.14 is needed, and \S+ is {version[0]}\.{version[1]}: .*PYTHON=", said)


def test_the_supported_versions_are_those_of_the_package() -> None:
    oldest = re.search(r"OLDEST, NEWEST = \(3, (\d+)\), \(3, (\d+)\)", SET_UP.read_text())
    assert oldest is not None
    assert f'requires-python = ">=3.{oldest[1]}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_missing_venv_module_is_named_with_its_package(module: str, copied: Path) -> None:
    patch = (
        "import importlib.util; find = importlib.util.find_spec; "
        f"importlib.util.find_spec = lambda name: None if name == {module!r} else find(name)"
    )
    code, said = _as(patch, copied)
    assert (code, said.count("\n")) == (1, 1)
    assert f"apt-get install python3.{sys.version_info[1]}-venv" in said


def test_a_folder_that_cannot_be_written_is_named(copied: Path) -> None:
    (copied.parents[1] / ".venv").write_text("in the way")
    code, said = _run(str(copied), "run", at=copied)
    assert code == 1
    assert re.search(r"Cannot write .*\.venv: .", said.splitlines()[-1])


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    """A copy that came as far as an empty environment, for want of a network; with what it said."""
    script = _copy(tmp_path_factory.mktemp("begun"))
    return script, *_run(str(script), "run", at=script, environment=NOWHERE)


@pytest.mark.slow  # it makes an environment
def test_without_a_network_the_index_is_named_and_the_next_run_goes_on(begun: tuple[Path, int, str]) -> None:
    script, code, said = begun
    assert code == 1
    assert said.splitlines()[-1].startswith("The Python package index cannot be reached: ")
    assert "PIP_INDEX_URL" in said
    again, said = _run(str(script), "run", at=script, environment=NOWHERE)
    assert again == 1
    assert "Making" not in said


@pytest.mark.slow  # it makes an environment
def test_a_mirror_without_https_is_told_how_pip_comes_to_trust_it(begun: tuple[Path, int, str]) -> None:
    mirror = {"PIP_INDEX_URL": "http://mirror.invalid/simple", "PIP_RETRIES": "0"}
    code, said = _run(str(begun[0]), "run", at=begun[0], environment=mirror)
    assert code == 1
    assert "name mirror.invalid in PIP_TRUSTED_HOST" in said.splitlines()[-1]


@pytest.mark.slow  # it makes an environment
def test_two_set_ups_of_one_folder_take_turns(copied: Path) -> None:
    folder = os.open(copied.parents[1], os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with subprocess.Popen(
        [sys.executable, str(copied), "run"],
        env={"PATH": os.environ["PATH"], **NOWHERE},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as second:
        assert second.stdout is not None
        assert second.stdout.readline() == "Waiting for another set-up of this folder to end.\n"
        assert not (copied.parents[1] / ".venv").exists()
        os.close(folder)
        assert second.stdout.readline().startswith("Making .venv ")


@pytest.mark.slow  # it makes an environment
def test_settings_of_the_users_pip_install_nothing_elsewhere(begun: tuple[Path, int, str]) -> None:
    elsewhere = begun[0].parents[1] / "elsewhere"
    settings = NOWHERE | {"PIP_TARGET": str(elsewhere), "PIP_USER": "1"}
    _, said = _run(str(begun[0]), "run", at=begun[0], environment=settings)
    assert "cannot be reached" in said.splitlines()[-1]
    assert not elsewhere.exists()


def test_what_is_there_is_not_made_again_even_from_within() -> None:
    assert _run(str(SET_UP), "test") == (0, "")


def test_help_is_there_for_whoever_asks() -> None:
    code, said = _run(str(SET_UP), "--help")
    assert code == 0
    assert "run" in said


def test_every_lock_is_installed_by_somebody() -> None:
    text = SET_UP.read_text()
    installed = set(re.findall(r'\((?:PROJECT|LOCAL_AWS), "([\w-]+)"\)', text))
    # Of these wheels files are taken; nothing is installed.
    assert {lock.stem for lock in LOCKS} == installed | {MODELS_LOCK.stem}
    assert '"-m", "models"' in text


@pytest.mark.parametrize("fails", ["ai.txt", ".models"])
def test_what_looks_into_pictures_is_done_without_where_it_cannot_be_had(
    fails: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("set_up", SET_UP)
    assert spec is not None
    assert spec.loader is not None
    set_up = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(set_up)

    def run(_: object, doing: str, *, quiet: bool = False) -> None:
        if fails in doing:
            sys.exit("The index cannot be reached.")

    monkeypatch.setattr(set_up, "_run", run)
    monkeypatch.setattr(set_up, "_stamp", lambda _: {})
    monkeypatch.setattr(set_up, "_note", lambda *_: None)
    set_up._add_models()
    assert capsys.readouterr().out == "Without the models that look into pictures: The index cannot be reached.\n"


def test_packages_that_only_run_need_no_tools_of_developers() -> None:
    tools = {"pytest", "mypy", "ruff", "uv", "moto", "awscli", "setuptools"}
    for name in ("runtime", "local-aws"):
        assert not tools & _pins(ROOT / "requirements" / f"{name}.txt").keys()


def test_the_page_about_the_framework_that_is_left_out_is_still_true() -> None:
    for name, framework in LEFT_OUT:
        with pytest.raises(PackageNotFoundError):
            distribution(framework)
        assert distribution(name).files
