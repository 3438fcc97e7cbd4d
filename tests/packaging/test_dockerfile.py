"""The Dockerfile keeps what the documents and the chart rely on."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from itertools import pairwise

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from benchmarks.memory import JEMALLOC
from docs.generate import ROOT
from service.calls.docs import ASSETS, SWAGGER_UI
from service.config import Settings
from tests.packaging import dockerfile

#: The one base; its minor version is pinned, and its patches come with every build.
BASE = re.compile(r"docker\.io/library/python:(3\.\d+)-slim-trixie")
#: What the images are built for.
TARGETS = ("service", "service-ai", "local")


def _python_version() -> str:
    found = {match[1] for stage in dockerfile.stages().values() if (match := BASE.fullmatch(stage.base))}
    (version,) = found
    return version


@pytest.mark.parametrize("stage", dockerfile.stages().values(), ids=lambda stage: stage.name)
def test_every_stage_starts_from_the_pinned_base_or_from_another_stage(stage: dockerfile.Stage) -> None:
    assert BASE.fullmatch(stage.base) or stage.base in dockerfile.stages()


def test_every_path_with_a_version_of_python_names_the_one_of_the_base() -> None:
    text = dockerfile.PATH.read_text() + (ROOT / "Makefile").read_text().partition("\nplatforms:")[2]
    assert set(re.findall(r"/python(3\.\d+)/|--python-version (3\.\d+) --python-platform", text)) == {
        (_python_version(), ""),
        ("", _python_version()),
    }


def test_a_build_without_a_target_makes_the_service() -> None:
    assert list(dockerfile.stages())[-1] == "service"
    assert json.loads(dockerfile.effective("service", "CMD") or "") == ["serve"]


@pytest.mark.parametrize("target", TARGETS)
def test_the_image_runs_as_a_user_that_kubernetes_can_tell_from_root(target: str) -> None:
    assert dockerfile.effective(target, "USER") == "10001:10001"


@pytest.mark.parametrize("target", TARGETS)
def test_the_image_runs_the_command_line(target: str) -> None:
    assert json.loads(dockerfile.effective(target, "ENTRYPOINT") or "") == ["truss-image"]
    assert dockerfile.effective(target, "STOPSIGNAL") == "SIGTERM"
    assert dockerfile.effective(target, "WORKDIR") == "/app"


def test_the_allocator_of_the_image_is_set_up_as_it_was_measured() -> None:
    said = dict(each.split("=", 1) for each in (dockerfile.stages()["runtime"].last("ENV") or "").split())

    assert {name: said[name] for name in said if name.startswith("MALLOC_")} == JEMALLOC
    assert said["LD_PRELOAD"] == "libjemalloc.so.2"


def test_the_image_exposes_the_port_that_the_service_listens_on_and_the_metrics() -> None:
    default = Settings.model_fields["port"].default
    assert (dockerfile.effective("service", "EXPOSE") or "").split() == [str(default), "9090"]


def test_the_image_with_models_has_those_that_are_checked_when_it_is_built_and_is_the_service_otherwise() -> None:
    stages = dockerfile.stages()
    assert dockerfile.effective("service-ai", "ENV") == "MODELS_DIR=/opt/models"
    assert json.loads(dockerfile.effective("service-ai", "CMD") or "") == ["serve"]
    assert stages["service-ai"].base == stages["service"].base
    assert "check_models" in (stages["service-ai"].last("RUN") or "")
    assert any(command == "python -m models /opt/models" for command in dockerfile.commands())


def test_the_image_with_models_adds_what_the_other_does_not_have() -> None:
    runtime, whole = ((ROOT / "requirements" / f"{name}.txt").read_text().splitlines() for name in ("runtime", "ai"))
    added = [line for line in whole if line not in set(runtime)]
    pins = [line.partition("==")[0] for line in added if re.match(r"[a-z]", line)]
    assert {"numpy", "onnxruntime"} <= set(pins)
    assert not {line.partition("==")[0] for line in runtime if re.match(r"[a-z]", line)} & set(pins)
    # Each is followed by its own hashes, and by no other's: what both have is left out whole.
    for first, second in pairwise(added):
        assert not re.match(r"[a-z]", first) or second.startswith("    --hash=")


def test_nothing_is_installed_that_is_not_locked() -> None:
    installing = [command for command in dockerfile.commands() if re.match(r"pip .*\b(install|wheel)\b", command)]
    assert len(installing) > 4
    for command in installing:
        assert "--require-hashes -r requirements/" in command or "--no-deps" in command, command
        assert "--no-index" in command or "--no-build-isolation" in command or "--only-binary :all:" in command, command


def test_the_image_keeps_the_sdks_description_of_every_service_that_is_called() -> None:
    (command,) = (command for command in dockerfile.commands() if "botocore/data" in command)
    sources = [path for package in ("processor", "service") for path in (ROOT / package).rglob("*.py")]
    called = {
        name for path in sources for name in re.findall(r"(?:\.client|opened)\(\s*\"([\w-]+)\"", path.read_text())
    }
    assert len(called) > 3
    assert set(re.findall(r"! -name (\S+)", command)) == called | {"sts"}


def test_the_image_keeps_every_file_of_swagger_ui_that_is_served() -> None:
    (command,) = (command for command in dockerfile.commands() if "drf_spectacular_sidecar" in command)
    served = {name for name, (folder, _) in ASSETS.items() if folder == SWAGGER_UI}
    assert served
    assert set(re.findall(r"! -name (\S+)", command)) == served
    assert "! -path '*/swagger-ui-dist/LICENSE'" in command


@pytest.mark.parametrize(("status", "expected"), [(200, 0), (503, 1)])
async def test_the_health_check_asks_whether_the_process_lives_on_whatever_port(status: int, expected: int) -> None:
    async def live(request: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/images/live", live)
    async with TestServer(app) as server:
        assert await _check(PORT=str(server.port)) == expected


async def test_the_health_check_fails_while_nothing_listens() -> None:
    async with TestServer(web.Application()) as server:
        port = str(server.port)
    assert await _check(PORT=port) == 1


async def _check(**environment: str) -> int:
    _, _, command = (dockerfile.effective("service", "HEALTHCHECK") or "").partition("CMD ")
    _, *arguments = json.loads(command)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


def test_the_builder_is_given_nothing_but_what_is_named() -> None:
    first, *others = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert first == "*"
    given = {line.removeprefix("!") for line in others if line.startswith("!")}
    copied = {
        source.rstrip("/")
        for stage in dockerfile.stages().values()
        for name, argument in stage.instructions
        if name == "COPY" and not argument.startswith("--from")
        for source in argument.split()[:-1]
    }
    needed = {next((name for name in given if f"{source}/".startswith(f"{name}/")), source) for source in copied}
    assert given == needed
