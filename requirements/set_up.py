"""Makes the environments of this folder from locks alone: `python3 requirements/set_up.py run`, `test` or `browser`.

Every Python that a machine may have reads it, so it begins with the question whether that one will do.
"""

import sys

OLDEST, NEWEST = (3, 11), (3, 14)
if not OLDEST <= sys.version_info[:2] <= NEWEST:
    sys.exit(
        f"Python 3.{OLDEST[1]} to 3.{NEWEST[1]} is needed, and {sys.executable} is"
        f" {sys.version_info[0]}.{sys.version_info[1]}:"
        f" name another one, as in `make run PYTHON=python3.{NEWEST[1] - 1}`."
    )

import argparse
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / ".venv"
#: The emulator's pins and the AWS SDK's collide, so it lives in an environment of its own.
LOCAL_AWS = ROOT / ".venv-aws"
#: What is installed for which purpose: into which environment, from which lock, in this order. A purpose takes all that
#: those before it take.
STEPS = {
    "run": ((PROJECT, "build"), (PROJECT, "runtime"), (LOCAL_AWS, "local-aws")),
    "test": ((PROJECT, "dev"), (LOCAL_AWS, "aws-cli")),
    "browser": ((PROJECT, "browser"),),
}
#: What `run` does without where it cannot be had: the packages that look into pictures, and the files of their models.
EXTRA, MODELS = (PROJECT, "ai"), ROOT / ".models"
#: What an environment was made of: digests of locks by name, and the place and the Python that its scripts name.
STAMP = "made-of.json"
#: `--no-deps`, because a lock is complete, and some releases of pip resolve it once more and then ask for hashes of
#: what is not in it. Only pyvips is built, by the setuptools that is locked; the compiler and the libvips that the
#: machine may have are not used.
LOCKED = (
    *("--no-deps", "--require-hashes", "--no-build-isolation", "--only-binary", ":all:", "--no-binary", "pyvips"),
    *("--retries", "3", "--timeout", "30"),
)
EDITABLE = ("--no-deps", "--no-index", "--no-build-isolation", "--editable")
#: What is in this repository itself. The client is a distribution of its own, and the commands are made of it.
OWN = {"client": ROOT / "clients" / "python", "project": ROOT}
#: Settings of pip that would install elsewhere, or something else. Where to download from stays the machine's affair.
OVERRULED = {
    "PIP_USER": "0",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    **dict.fromkeys(("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_CONSTRAINT", "PIP_REQUIREMENT", "PIP_DRY_RUN"), ""),
}
#: What venv and pip say, and what to do then. The first that is found is told.
REASONS = {
    r"No space left on device": "The disk of {root} is full: `make run` needs 550 MB, `make test` 1.7 GB.",
    r"located at (?P<host>\S+) is not a trusted or secure host": (
        "pip trusts no index without https: name {host} in PIP_TRUSTED_HOST, and run this again."
    ),
    r"SSLError|CERTIFICATE_VERIFY_FAILED": (
        "The certificate of the Python package index is not trusted here: name your authorities with PIP_CERT, and run"
        " this again."
    ),
    r"NewConnectionError|[Nn]ame ?[Rr]esolution|ConnectTimeout|ReadTimeout|ProxyError|Max retries|Connection refused": (
        "The Python package index cannot be reached: connect this machine, or name a proxy (HTTPS_PROXY) or a mirror"
        " (PIP_INDEX_URL), and run this again."
    ),
    r"DO NOT MATCH THE HASHES": (
        "A download is not what is locked, so it was cut or changed on its way: run this again, or look at the mirror."
    ),
    r"\[Errno \d+\] (?P<why>[^:\n]+): '(?P<where>[^'\n]+)'": "Cannot write {where}: {why}.",
    r"No matching distribution found for (?P<what>[\w.-]+)": (
        "The Python package index has no {what} for this machine ({machine}): Linux on x86-64 or arm64, or macOS, is"
        " needed, and a mirror must be complete."
    ),
}


def main() -> None:
    """Make what is missing. When that cannot be done, end with one sentence that says what to do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("purpose", choices=STEPS, help="what it must be enough for")
    purposes = [*STEPS][: [*STEPS].index(parser.parse_args().purpose) + 1]
    steps = [step for purpose in purposes for step in STEPS[purpose]]
    try:
        _take_turns()
        for environment in (PROJECT, LOCAL_AWS):
            _make(environment)
        for environment, lock in steps:
            _install(environment, lock, ROOT / "requirements" / f"{lock}.txt", [*LOCKED, "-r"])
            if lock == "runtime":
                for name, folder in OWN.items():
                    _install(environment, name, folder / "pyproject.toml", EDITABLE)
        _add_models()
    except OSError as error:
        sys.exit(f"Cannot write {error.filename or ROOT}: {error.strerror or error}.")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: the next run goes on from here.")


def _take_turns() -> None:
    """Let another set-up of this folder come to its end; the lock is held until this process ends."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Waiting for another set-up of this folder to end.", flush=True)
        fcntl.flock(folder, fcntl.LOCK_EX)
    except OSError:
        pass  # Some network file systems know no locks of folders.


def _make(environment: Path) -> None:
    made_for = [str(environment), sys.base_prefix, platform.python_version()]
    if _stamp(environment).get("made for") == made_for:
        return
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            "Python's venv module is missing: install it (on Debian and Ubuntu: apt-get install"
            f" python3.{sys.version_info[1]}-venv), and run this again."
        )
    # Not the Python of an environment that is active: it may be the one that is made anew.
    python = str(Path(sys.executable).resolve())
    # The pip of the one fills the other as well.
    options = [] if environment == PROJECT else ["--without-pip"]
    _run([python, "-m", "venv", "--clear", *options, str(environment)], f"Making {environment.name}")
    _note(environment, {"made for": made_for})


def _install(environment: Path, name: str, source: Path, options: Sequence[str]) -> None:
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    stamp = _stamp(environment)
    if stamp.get(name) == digest:
        return
    pip = [str(PROJECT / "bin" / "python"), "-m", "pip", "--python", str(environment / "bin" / "python")]
    what = str(OWN.get(name, source))
    _run([*pip, "install", "--quiet", *options, what], f"Installing {source.relative_to(ROOT)} into {environment.name}")
    _note(environment, {**stamp, name: digest})


def _add_models() -> None:
    """Everything else works without them, so a machine that cannot have them is only told."""
    environment, lock = EXTRA
    try:
        _install(environment, lock, ROOT / "requirements" / f"{lock}.txt", [*LOCKED, "-r"])
        _run([str(PROJECT / "bin" / "python"), "-m", "models", str(MODELS)], f"Making {MODELS.name}", quiet=True)
    except SystemExit as error:
        print(f"Without the models that look into pictures: {error}", flush=True)


def _run(command: Sequence[str], doing: str, *, quiet: bool = False) -> None:
    """Run a command. A `quiet` one is told of only if it has something to say."""
    if not quiet:
        print(doing, end=" ", flush=True)
    began = time.monotonic()
    environment = {**os.environ, **OVERRULED}
    for name in ("PYTHONHOME", "PYTHONPATH"):
        environment.pop(name, None)
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        print(f"{doing} failed" if quiet else "failed")
        sys.exit(_reason(done.stdout + done.stderr))
    if not quiet or done.stdout:
        print(f"{doing} ({time.monotonic() - began:.0f} s)" if quiet else f"({time.monotonic() - began:.0f} s)")


def _reason(said: str) -> str:
    for pattern, sentence in REASONS.items():
        found = re.search(pattern, said)
        if found:
            return sentence.format(root=ROOT, machine=platform.platform(), **found.groupdict())
    return said.strip()


def _stamp(environment: Path) -> dict[str, object]:
    try:
        return dict(json.loads((environment / STAMP).read_text()))
    except (OSError, ValueError):
        return {}


def _note(environment: Path, stamp: dict[str, object]) -> None:
    (environment / STAMP).write_text(json.dumps(stamp, indent=1))


if __name__ == "__main__":
    main()
