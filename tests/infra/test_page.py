"""Whoever follows the deployment page gets from an empty account to a picture, and past a creation that failed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from helm.rendering import render
from infra.values import outputs_of
from service.local.emulator import ACCOUNT_ID, REGION
from tests import corpus
from tests.chart.release import with_values
from tests.e2e.conftest import LOCAL_AWS
from tests.fleet import ServiceProcess, untraced
from tests.guide import Block, blocks
from tests.infra import programs, template
from tests.infra.deployment import Deployment, within_the_emulator
from tests.local_aws import ADMINISTRATOR, LocalAws, run_local_emulator

PAGE = blocks("deployment.md")
ROOT = Path(__file__).parents[2]
STEPS = ("1. AWS", "2. The image", "3. The service")
#: Longest that some steps of the page may take, in seconds.
SECONDS = 400

SOURCE = f"truss-image-source-prod-{ACCOUNT_ID}"
PROGRAMS = {
    "aws": '"$PYTHON" -m tests.infra.programs aws "$@"',
    "helm": '"$PYTHON" -m tests.infra.programs helm "$@"',
    "kubectl": '"$PYTHON" -m tests.infra.programs kubectl "$@"',
    "python3": '"$PYTHON" "$@"',
    "git": "echo 123456789012",  # as a version that looks like a number
    "docker": 'echo "$@" >> "$PROGRAMS_STATE/docker.txt"',
    "make": "true",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomer:
    """Somebody in a checkout of the project, with the page, an account, and a stage that is called as they like."""

    aws: LocalAws
    folder: Path
    stage: str

    @property
    def state(self) -> Path:
        """What the programs keep."""
        return self.folder / "state"

    async def follow(self, *sections: str, changed: dict[str, str] | None = None, last: int | None = None) -> str:
        """Type the blocks of these sections after those of the page's beginning, in one shell; what it prints."""
        begin = [block for block in PAGE if block.section == ""]
        chosen = [block for name in sections for block in _console(name)][:last]
        script = "".join(block.text for block in (*begin, *chosen)).replace("STAGE=dev", f"STAGE={self.stage}")
        for there, here in (changed or {}).items():
            assert there in script, there
            script = script.replace(there, here)
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", f"set -o pipefail\n{script}"),
            cwd=self.folder,
            env=self._environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await asyncio.wait_for(process.communicate(), SECONDS)
        return printed.decode()

    async def ask(self, *command: str) -> Any:
        """What AWS says."""
        process = await asyncio.create_subprocess_exec(
            *(str(LOCAL_AWS.with_name("aws")), "--output", "json", *command),
            env=self._environment() | {"AWS_DEFAULT_REGION": REGION},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, error = await asyncio.wait_for(process.communicate(), SECONDS)
        assert process.returncode == 0, error.decode()
        return json.loads(printed) if printed.strip() else None

    async def status(self) -> str:
        """How the stack is."""
        described = await self.ask("cloudformation", "describe-stacks", "--stack-name", f"truss-image-{self.stage}")
        return str(described["Stacks"][0]["StackStatus"])

    async def tables(self) -> list[str]:
        """All tables of the account."""
        found: list[str] = (await self.ask("dynamodb", "list-tables"))["TableNames"]
        return found

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in untraced().items() if not name.startswith("AWS_")}
        return kept | {
            "PATH": os.pathsep.join((str(self.folder / "programs"), os.environ["PATH"])),
            "PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT),
            "REAL_AWS": str(LOCAL_AWS.with_name("aws")),
            programs.STATE: str(self.state),
            "AWS_ENDPOINT_URL": self.aws.endpoint_url,
            "AWS_ACCESS_KEY_ID": ADMINISTRATOR.access_key_id,
            "AWS_SECRET_ACCESS_KEY": ADMINISTRATOR.secret_access_key,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


def _console(section: str) -> list[Block]:
    found = [block for block in PAGE if block.section == section and block.language == "console"]
    assert found, f"The page has no commands under {section!r}"
    return found


@asynccontextmanager
async def _newcomer(tmp_path: Path, stage: str) -> AsyncIterator[Newcomer]:
    if not LOCAL_AWS.with_name("aws").exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("the AWS CLI is not installed: run `make setup`")
    folder = tmp_path / "checkout"
    (folder / "programs").mkdir(parents=True)
    (folder / "state").mkdir()
    for name in ("infra", "helm", "docs", ".venv"):
        (folder / name).symlink_to(ROOT / name)
    for name, command in PROGRAMS.items():
        program = folder / "programs" / name
        program.write_text(f"#!/bin/sh\n{command}\n")
        program.chmod(0o755)
    for path in template.PATH.parent.glob("*.yaml"):
        adapted = within_the_emulator(template.load(path))
        (folder / "state" / f"{path.stem}.json").write_text(json.dumps(adapted))
    (folder / "photo.jpg").write_bytes(corpus.jpeg(corpus.photo(640, 480)))
    async with run_local_emulator(tmp_path) as aws:
        yield Newcomer(aws=aws, folder=folder, stage=stage)


#: Settings that belong to the network of a pod.
OF_A_POD = ("HOST", "PORT", "METRICS_PORT")
#: The page's region is an example, and the emulator is elsewhere.
HERE = {"AWS_DEFAULT_REGION=eu-west-1": f"AWS_DEFAULT_REGION={REGION}"}


@pytest.mark.slow
async def test_the_page_leads_from_an_empty_account_to_a_picture(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with _newcomer(tmp_path, "dev") as newcomer:
        printed = await newcomer.follow(*STEPS, changed=HERE)
        assert await newcomer.status() == "CREATE_COMPLETE", printed
        described = await newcomer.ask("cloudformation", "describe-stacks", "--stack-name", "truss-image-dev")
        outputs = outputs_of(described)
        release = json.loads((newcomer.state / "release.json").read_text())
        registry = f"{ACCOUNT_ID}.dkr.ecr.{REGION}.amazonaws.com/image-service"
        assert release["image"] == f"{registry}:123456789012"
        assert f"--tag {registry}:123456789012" in (newcomer.state / "docker.txt").read_text()

        pod = await Deployment(newcomer.aws, "truss-image-dev").pod(outputs, tmp_path)
        assert release["role"] == pod["AWS_ROLE_ARN"]
        of_this_machine = {
            "QUEUE_WAIT_SECONDS": "1",
            "STOP_DELAY_SECONDS": "0",
            "AWS_ENDPOINT_URL": newcomer.aws.endpoint_url,
        }
        settings = {name: value for name, value in release["environment"].items() if name not in OF_A_POD}
        environment = settings | of_this_machine | pod
        service = ServiceProcess(environment, session, tmp_path / "service.log", traced=False)
        try:
            await service.start()
            unset = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "")
            (newcomer.state / "pod.json").write_text(json.dumps(environment | unset))
            printed = await newcomer.follow(
                "4. The first key", "5. See it work", changed=HERE | {"http://127.0.0.1:8080": service.url}
            )
            urls = re.findall(rf"{re.escape(outputs['CloudfrontUrl'])}/(\S+\.webp)", printed)
            assert len(set(urls)) == 4, printed
            for key in urls:
                await newcomer.ask("s3api", "head-object", "--bucket", outputs["ProcessedBucket"], "--key", key)
            await service.stop()
        finally:
            await service.kill()

        # What is there already stops nobody who begins again, and the stack keeps what it has.
        again = await newcomer.follow("1. AWS", changed=HERE, last=1)
        assert "EntityAlreadyExists" not in again

        await newcomer.follow("Before users come", changed=HERE)
        table = await newcomer.ask("dynamodb", "describe-table", "--table-name", outputs["ProcessingTable"])
        assert table["Table"]["DeletionProtectionEnabled"] is True
        described = await newcomer.ask("cloudformation", "describe-stacks", "--stack-name", "truss-image-dev")
        assert outputs_of(described) == outputs


async def _begin_again(newcomer: Newcomer, wait_for: str, **changed: str) -> str:
    """Step 1, when something was there."""
    words = HERE | {"stack-create-complete": wait_for}
    more = "".join(f" {name}={value}" for name, value in changed.items())
    origins = "CorsOrigins=https://app.example.com"
    return await newcomer.follow("1. AWS", changed=words | {origins: f"{origins}{more}"})


@pytest.mark.slow
async def test_what_outlived_its_stack_is_imported_by_the_next_one(tmp_path: Path) -> None:
    async with _newcomer(tmp_path, "prod") as newcomer:
        pool = {"CreateUserPool": "true", "CallbackUrls": "https://app.example.com/back"}
        await _begin_again(newcomer, "stack-create-complete", **pool)
        await newcomer.follow("Before users come", changed=HERE)
        photo = str(newcomer.folder / "photo.jpg")
        await newcomer.ask("s3api", "put-object", "--bucket", SOURCE, "--key", "uploads/photo.jpg", "--body", photo)
        await newcomer.follow("The end of a stage", changed=HERE)
        assert await newcomer.tables() == ["truss-image-processing-prod"]

        # The names exist: this creation fails, and its undoing takes nothing away.
        await _begin_again(newcomer, "stack-create-complete", **pool)
        assert await newcomer.status() == "ROLLBACK_COMPLETE"
        printed = await newcomer.follow("When a creation fails", changed=HERE)
        assert "SourceBucket: " in printed
        assert await newcomer.status() == "IMPORT_COMPLETE", printed
        printed = await _begin_again(newcomer, "stack-update-complete", **pool, DeletionProtection="true")
        assert await newcomer.status() == "UPDATE_COMPLETE", printed

        await newcomer.ask("s3api", "head-object", "--bucket", SOURCE, "--key", "uploads/photo.jpg")
        notified = await newcomer.ask("s3api", "get-bucket-notification-configuration", "--bucket", SOURCE)
        assert len(notified["QueueConfigurations"]) == 1
        pools = await newcomer.ask("cognito-idp", "list-user-pools", "--max-results", "60")
        assert [each["Name"] for each in pools["UserPools"]] == ["truss-image-prod"]


@pytest.mark.slow
@pytest.mark.parametrize("protected", [False, True])
async def test_a_creation_of_prod_that_failed_half_way_is_mended_by_the_next_step(
    tmp_path: Path, protected: bool
) -> None:
    async with _newcomer(tmp_path, "prod") as newcomer:
        # Somebody else has the domain of the sign-in, which is made when buckets, table and users are there.
        other = await newcomer.ask("cognito-idp", "create-user-pool", "--pool-name", "other")
        domain = f"truss-image-prod-{ACCOUNT_ID}"
        named = ("--domain", domain, "--user-pool-id", other["UserPool"]["Id"])
        await newcomer.ask("cognito-idp", "create-user-pool-domain", *named)
        given = {"CreateUserPool": "true", "CallbackUrls": "https://app.example.com/back"}
        if protected:
            given["DeletionProtection"] = "true"
        await _begin_again(newcomer, "stack-create-complete", **given)
        assert (await newcomer.status()).startswith("ROLLBACK_")
        left = await newcomer.tables()
        assert protected or left == []

        await newcomer.ask("cognito-idp", "delete-user-pool-domain", *named)
        printed = await newcomer.follow("When a creation fails", changed=HERE, last=None if left else 2)
        assert f"Domain {domain} already exists" in printed
        wait_for = "stack-update-complete" if left else "stack-create-complete"
        printed = await _begin_again(newcomer, wait_for, **given)
        assert await newcomer.status() == wait_for.removeprefix("stack-").replace("-", "_").upper(), printed


@pytest.mark.slow
async def test_the_endpoints_of_the_page_are_made_in_a_network_that_there_is(tmp_path: Path) -> None:
    async with _newcomer(tmp_path, "dev") as newcomer:
        vpc = (await newcomer.ask("ec2", "describe-vpcs"))["Vpcs"][0]
        subnets = [each["SubnetId"] for each in (await newcomer.ask("ec2", "describe-subnets"))["Subnets"][:2]]
        routes = (await newcomer.ask("ec2", "describe-route-tables"))["RouteTables"][0]["RouteTableId"]
        of_the_network = {
            "VpcId=vpc-0123456789abcdef0": f"VpcId={vpc['VpcId']}",
            "10.0.0.0/16": vpc["CidrBlock"],
            "subnet-0123456789abcdef0,subnet-0123456789abcdef1": ",".join(subnets),
            "rtb-0123456789abcdef0": routes,
        }
        printed = await newcomer.follow("A private network", changed=HERE | of_the_network)
        made = await newcomer.ask("ec2", "describe-vpc-endpoints")
        services = {each["ServiceName"].removeprefix(f"com.amazonaws.{REGION}.") for each in made["VpcEndpoints"]}
        assert services == {"s3", "dynamodb", "sqs", "sts", "ecr.api", "ecr.dkr", "logs"}, printed


def test_the_page_types_nothing_that_no_test_types() -> None:
    typed = {*STEPS, "4. The first key", "5. See it work", "Before users come", "When a creation fails", ""}
    typed |= {"A private network", "The end of a stage"}
    assert {block.section for block in PAGE if block.language == "console"} == typed


def test_the_load_balancer_of_the_page_is_one_that_the_chart_takes() -> None:
    (written,) = [block.text for block in PAGE if block.language == "yaml"]
    values = yaml.safe_load(written)
    (ingress,) = render(with_values(**values))["ingress.yaml"]
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == ["api.example.com"]
    annotations = values["ingress"]["annotations"]
    example = yaml.safe_load((ROOT / "helm" / "image-service" / "ci" / "locked-down-values.yaml").read_text())
    assert annotations == example["ingress"]["annotations"]


def test_the_numbers_that_the_page_tells_are_those_that_are_shipped() -> None:
    text = (ROOT / "docs" / "deployment.md").read_text()
    config = yaml.safe_load((ROOT / "helm" / "image-service" / "values.yaml").read_text())["config"]
    assert f"before the pod does ({config['keepaliveSeconds']} s)" in text
    assert re.search(rf"pod answers for {config['stopDelaySeconds']} s", text.replace("\n", " "))


def test_every_link_of_the_page_leads_somewhere() -> None:
    docs = ROOT / "docs"
    text = (docs / "deployment.md").read_text()
    for file, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", text):
        page = docs / (file or "deployment.md")
        assert page.exists(), file
        if anchor:
            headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings], anchor
