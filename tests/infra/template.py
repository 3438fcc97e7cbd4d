"""The CloudFormation template with its parameters, conditions and references filled in, as AWS would fill them in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

PATH = Path(__file__).parents[2] / "infra" / "cloudformation" / "image-service.yaml"
ACCOUNT_ID = "111122223333"
REGION = "eu-west-1"
_QUEUES = frozenset({"EventQueue", "DeadLetterQueue"})
#: Stands for what is not to be there.
_NOTHING = object()


@cache
def _text(path: Path) -> str:
    from cfnlint.decode import cfn_yaml  # noqa: PLC0415 - it brings sympy: seconds that only its readers need pay

    return json.dumps(cfn_yaml.load(str(path)))


def complaints(path: Path) -> list[Any]:
    """What cfn-lint says of a template."""
    from cfnlint.api import lint_file  # noqa: PLC0415 - as above

    return list(lint_file(path))


def replacing_properties(kind: str) -> frozenset[str]:
    """The properties of a type whose change makes a new resource, by AWS's own schema."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # noqa: PLC0415 - as above

    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema
    return frozenset(path.split("/")[2] for path in schema.get("createOnlyProperties", ()))


def load(path: Path = PATH) -> dict[str, Any]:
    """A template as it is written, with the long forms of its functions."""
    return cast("dict[str, Any]", json.loads(_text(path)))


@dataclass(frozen=True, slots=True)
class Stack:
    """What the template says for some parameters. What only AWS knows is told by its name, as in `<UserPool.Arn>`."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    template: dict[str, Any] = field(default_factory=load)

    def resource(self, logical_id: str) -> dict[str, Any]:
        """The properties of a resource that is made."""
        assert logical_id in self.resources(), f"{logical_id} is not made"
        properties = self._filled(self.template["Resources"][logical_id].get("Properties", {}))
        return cast("dict[str, Any]", properties)

    def resources(self, kind: str = "") -> list[str]:
        """The logical ids of what is made, of one type or of all."""
        found = self.template["Resources"]
        return [name for name, each in found.items() if each["Type"].startswith(kind) and self._is_made(each)]

    def outputs(self) -> dict[str, str]:
        """The outputs by name; each is text, whatever the template says."""
        found = self.template["Outputs"]
        return {name: _as_text(self._filled(each["Value"])) for name, each in found.items() if self._is_made(each)}

    def statements(self, logical_id: str) -> list[dict[str, Any]]:
        """The statements of a policy, with lists where one value would do."""
        found = self.resource(logical_id)["PolicyDocument"]["Statement"]
        listed = {"Action", "Resource"}
        return [
            {name: [value] if name in listed and not isinstance(value, list) else value for name, value in each.items()}
            for each in found
        ]

    def refusals(self) -> list[str]:
        """What the rules say against these parameters."""
        assertions = [each for rule in self.template.get("Rules", {}).values() for each in rule["Assertions"]]
        return [each["AssertDescription"] for each in assertions if not self._holds(each["Assert"])]

    def _is_made(self, thing: Mapping[str, Any]) -> bool:
        return "Condition" not in thing or self._holds({"Condition": thing["Condition"]})

    def _holds(self, condition: Any) -> bool:
        ((function, value),) = condition.items()
        if function == "Condition":
            return self._holds(self.template["Conditions"][value])
        if function == "Fn::Equals":
            left, right = (self._filled(each) for each in value)
            return str(left) == str(right)
        if function in ("Fn::Contains", "Fn::EachMemberEquals"):
            members, wanted = (self._filled(each) for each in value)
            matches = [member == wanted for member in members]
            return any(matches) if function == "Fn::Contains" else all(matches)
        results = [self._holds(each) for each in value]
        return {"Fn::Not": not results[0], "Fn::And": all(results), "Fn::Or": any(results)}[function]

    def _filled(self, value: Any) -> Any:
        if isinstance(value, list):
            return [each for each in map(self._filled, value) if each is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function in _FUNCTIONS:
                return _FUNCTIONS[function](self, argument)
        filled = {name: self._filled(each) for name, each in value.items()}
        return {name: each for name, each in filled.items() if each is not _NOTHING}

    def _reference(self, name: str) -> Any:
        pseudo = {
            "AWS::AccountId": ACCOUNT_ID,
            "AWS::Region": REGION,
            "AWS::Partition": "aws",
            "AWS::NoValue": _NOTHING,
        }
        if name in pseudo:
            return pseudo[name]
        if name in self.template["Parameters"]:
            described = self.template["Parameters"][name]
            value = self.parameters.get(name, described.get("Default"))
            return value.split(",") if described["Type"] == "CommaDelimitedList" else value
        if name in _QUEUES:
            return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT_ID}/{self._queue(name)}"
        return self._names(name) or f"<{name}>"

    def _queue(self, logical_id: str) -> str:
        return str(self._filled(self.template["Resources"][logical_id]["Properties"]["QueueName"]))

    def _names(self, logical_id: str) -> str | None:
        """What a reference to a resource is, where that is its name."""
        properties = self.template["Resources"][logical_id].get("Properties", {})
        given = properties.get("BucketName") or properties.get("TableName")
        return None if given is None else str(self._filled(given))

    def _attribute(self, path: list[str] | str) -> str:
        logical_id, attribute = path if isinstance(path, list) else path.split(".", 1)
        arn = {"SourceBucket": "s3:::", "ProcessedBucket": "s3:::", "LogsBucket": "s3:::"}.get(logical_id)
        if attribute == "Arn" and arn is not None:
            return f"arn:aws:{arn}{self._names(logical_id)}"
        if attribute == "Arn" and logical_id == "ProcessingTable":
            return f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{self._names(logical_id)}"
        if attribute == "Arn" and logical_id in _QUEUES:
            return f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{self._queue(logical_id)}"
        if attribute == "Arn" and logical_id == "ServiceRole":
            name = self._filled(self.template["Resources"][logical_id]["Properties"]["RoleName"])
            return f"arn:aws:iam::{ACCOUNT_ID}:role/{name}"
        if (logical_id, attribute) == ("Distribution", "DomainName"):
            return "d111111abcdef8.cloudfront.net"
        return f"<{logical_id}.{attribute}>"

    def _substituted(self, argument: str | list[Any]) -> str:
        text, given = (argument, {}) if isinstance(argument, str) else argument

        def fill(match: re.Match[str]) -> str:
            name = match[1]
            if name in given:
                return str(self._filled(given[name]))
            return self._attribute(name) if "." in name else str(self._reference(name))

        return re.sub(r"\$\{([^}!]+)\}", fill, text)

    def _chosen(self, argument: list[Any]) -> Any:
        condition, yes, no = argument
        return self._filled(yes if self._holds({"Condition": condition}) else no)

    def _joined(self, argument: list[Any]) -> str:
        separator, parts = argument
        return str(separator).join(map(str, self._filled(parts)))


def parameters_behind(part: Any, template: Mapping[str, Any]) -> set[str]:
    """The parameters that a part of a template depends on: by reference, and by condition."""
    if isinstance(part, list):
        return {name for each in part for name in parameters_behind(each, template)}
    if isinstance(part, str):
        return {name for name in re.findall(r"\$\{(\w+)\}", part) if name in template["Parameters"]}
    if not isinstance(part, dict):
        return set()
    conditions = [part[name] for name in ("Condition",) if name in part] + part.get("Fn::If", [])[:1]
    behind = {name for each in conditions for name in parameters_behind(template["Conditions"][each], template)}
    referred = {part["Ref"]} & template["Parameters"].keys() if "Ref" in part else set()
    return behind | referred | parameters_behind(list(part.values()), template)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


_FUNCTIONS: Mapping[str, Any] = {
    "Ref": Stack._reference,
    "Fn::GetAtt": Stack._attribute,
    "Fn::Sub": Stack._substituted,
    "Fn::If": Stack._chosen,
    "Fn::Join": Stack._joined,
}
