"""Lets a stack take over what is there already: `python -m infra.imports --stage dev --folder import`.

What holds data outlives its stack and keeps its name, so a stack that is made again must import it. This asks AWS what
is there, and writes what `create-change-set --change-set-type IMPORT` takes: `template.yaml`, which is cut out of the
template of the stack, and `resources.json`. It changes nothing. Needs Python alone, and the AWS CLI.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.aws_cli import AwsFailed, ask

_TEMPLATES = Path(__file__).parent / "cloudformation"
_HEAD = """\
AWSTemplateFormatVersion: "2010-09-09"
Description: Takes over what is there already. An update to the whole template follows.
Parameters:
  Stage:
    Type: String
Resources:
"""
#: Lines that are not taken over: the condition, for the resource is there, and the protection, which is a parameter.
_LEFT_OUT = re.compile(r"^    (Condition|DependsOn): |^      DeletionProtection(Enabled)?: ")
#: All that a bucket is imported with. The update that follows then sets everything, whoever made the bucket.
_OF_A_BUCKET = re.compile(r"^    (Type|DeletionPolicy|UpdateReplacePolicy|Properties):|^      BucketName: ")


class NoImport(Exception):
    """Nothing can be imported; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A resource that outlives its stack. `find` tells what identifies that of a stage and account, if it is there."""

    kind: str
    identifier: str
    find: Callable[[str, str], str | None]


def _bucket(part: str) -> Callable[[str, str], str | None]:
    def find(stage: str, account: str) -> str | None:
        name = f"truss-image-{part}-{stage}-{account}"
        found = _described("(404)", "s3api", "head-bucket", "--bucket", name)
        return None if found is None else name

    return find


def _table(stage: str, _account: str) -> str | None:
    """An import takes its indexes as they are, so those of the template must be there."""
    name = f"truss-image-processing-{stage}"
    described = _described("(ResourceNotFoundException)", "dynamodb", "describe-table", "--table-name", name)
    if described is None:
        return None
    there = {index["IndexName"] for index in described["Table"].get("GlobalSecondaryIndexes", ())}
    wanted = set(re.findall(r"- IndexName: (\S+)", _text("image-service")))
    if missing := sorted(wanted - there):
        raise NoImport(
            f"The table {name} has no index {', '.join(missing)}. Make what is missing, or rename the table."
        )
    return name


def _user_pool(stage: str, _account: str) -> str | None:
    """Its name is no identifier: there may be several."""
    name = f"truss-image-{stage}"
    pools = ask("cognito-idp", "list-user-pools", "--max-results", "60")["UserPools"]
    found = [str(pool["Id"]) for pool in pools if pool["Name"] == name]
    if len(found) > 1:
        raise NoImport(f"There are several user pools with the name {name}: {', '.join(found)}. Rename all but one.")
    return found[0] if found else None


def _registry(stage: str, _account: str) -> str | None:
    name = f"truss-image-service-{stage}"
    found = _described("(RepositoryNotFoundException)", "ecr", "describe-repositories", "--repository-names", name)
    return None if found is None else name


#: By template and logical id.
KEPT: Mapping[str, Mapping[str, Kept]] = {
    "image-service": {
        "SourceBucket": Kept(kind="AWS::S3::Bucket", identifier="BucketName", find=_bucket("source")),
        "ProcessedBucket": Kept(kind="AWS::S3::Bucket", identifier="BucketName", find=_bucket("processed")),
        "LogsBucket": Kept(kind="AWS::S3::Bucket", identifier="BucketName", find=_bucket("logs")),
        "ProcessingTable": Kept(kind="AWS::DynamoDB::Table", identifier="TableName", find=_table),
        "UserPool": Kept(kind="AWS::Cognito::UserPool", identifier="UserPoolId", find=_user_pool),
    },
    "delivery": {"Registry": Kept(kind="AWS::ECR::Repository", identifier="RepositoryName", find=_registry)},
}


def _described(missing: str, *command: str) -> Any:
    """What AWS says of it; None if that is `missing`. Raises `AwsFailed` for any other refusal."""
    try:
        return ask(*command) or {}
    except AwsFailed as error:
        if missing in str(error):
            return None
        raise


def _text(template: str) -> str:
    return (_TEMPLATES / f"{template}.yaml").read_text()


def find(template: str, stage: str) -> dict[str, str]:
    """What of a template is there, by logical id: what identifies it. Raises `AwsFailed`, `NoImport` if nothing is."""
    account = str(ask("sts", "get-caller-identity")["Account"])
    looked = {logical_id: kept.find(stage, account) for logical_id, kept in KEPT[template].items()}
    found = {logical_id: name for logical_id, name in looked.items() if name is not None}
    if not found:
        raise NoImport("There is nothing to import: make the stack.")
    return found


def resources(template: str, found: Mapping[str, str]) -> list[dict[str, object]]:
    """What `--resources-to-import` takes."""
    return [
        {
            "ResourceType": KEPT[template][logical_id].kind,
            "LogicalResourceId": logical_id,
            "ResourceIdentifier": {KEPT[template][logical_id].identifier: name},
        }
        for logical_id, name in found.items()
    ]


def cut_out(template: str, logical_ids: Sequence[str]) -> str:
    """A template of these resources alone, as an import wants it: without outputs and references to other resources."""
    text = _text(template)
    text = text[text.index("\nResources:\n") : text.index("\nOutputs:\n")]
    return _HEAD + "".join(_block(text, logical_id) for logical_id in logical_ids)


def _block(text: str, logical_id: str) -> str:
    found = re.search(rf"^  {logical_id}:\n(?P<lines>(?:    .*\n|\n)+)", text, re.MULTILINE)
    if found is None:
        raise NoImport(f"The template has no {logical_id}.")
    lines = [line for line in found["lines"].splitlines() if line and not _LEFT_OUT.match(line)]
    if "    Type: AWS::S3::Bucket" in lines:
        lines = [line for line in lines if _OF_A_BUCKET.match(line)]
    return "\n".join([f"  {logical_id}:", *lines]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write both files and tell what they are about; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.imports", description=__doc__.partition("\n")[0])
    parser.add_argument("--stage", required=True, help="the stage, which is part of every name")
    parser.add_argument("--template", choices=sorted(KEPT), default="image-service", help="image-service by default")
    parser.add_argument("--folder", type=Path, required=True, help="where to write template.yaml and resources.json")
    given = parser.parse_args(arguments)
    try:
        found = find(given.template, given.stage)
        written = {
            "template.yaml": cut_out(given.template, list(found)),
            "resources.json": json.dumps(resources(given.template, found), indent=2) + "\n",
        }
        given.folder.mkdir(parents=True, exist_ok=True)
        for name, text in written.items():
            (given.folder / name).write_text(text)
    except (AwsFailed, NoImport, OSError) as error:
        print(f"infra.imports: {error}", file=sys.stderr)
        return 1
    for logical_id, name in found.items():
        print(f"{logical_id}: {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
