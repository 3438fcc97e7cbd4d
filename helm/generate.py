"""Writes what is generated of the chart: `config` in its values, its schema, its README, and `k8s/`. See `make docs`.

A test fails while any of them is stale. `config` comes from the settings, so that the chart knows what they know.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from service.config import Settings

CHART = Path(__file__).with_name("image-service")
KUSTOMIZE = CHART.parents[1] / "k8s"
#: Settings that the chart makes of other values, or the image brings along.
MADE_BY_THE_CHART = frozenset({"HOST", "PORT", "METRICS_PORT", "ROLES", "REVISION"})
#: Where a pod needs another default than a process on a machine of its own.
DEFAULTS: Mapping[str, Any] = {
    "WORKER_THREADS": None,  # the chart tells what the pod's processors come to
    "STOP_DELAY_SECONDS": 45,  # 15 until an ALB hears of a pod's end, and a deregistration delay of 30
    "LOG_FORMAT": "json",
}
_CONFIG = re.compile(r"(# generated: config\n).*?(# /generated\n)", re.DOTALL)
_PART = re.compile(r"(<!-- generated: values -->\n).*?(<!-- /generated -->)", re.DOTALL)
_TYPES = {dict: "object", list: "array", bool: "boolean", int: "integer", float: "number", str: "string"}


def camel(variable: str) -> str:
    """`SOURCE_BUCKET` as `sourceBucket`: the rule by which values and settings are named."""
    first, *rest = variable.lower().split("_")
    return first + "".join(map(str.capitalize, rest))


def config_variables() -> dict[str, str]:
    """The variables that `config` sets, by value."""
    return {camel(variable): variable for variable in Settings.variables() if variable not in MADE_BY_THE_CHART}


# -- config in values.yaml -------------------------------------------------------------------------------------------


def config_block() -> str:
    """`config` with every setting, its default and its description."""
    properties = Settings.model_json_schema(by_alias=True)
    lines = ["config:"]
    for key, variable in config_variables().items():
        described = properties["properties"][variable]
        schema = _value_schema(described, properties.get("$defs", {}))
        lines += [
            f"  # -- {described['description']} (`{variable}`)",
            f"  # @schema {json.dumps(schema)}",
            f"  {key}: {json.dumps(_default(variable, described))}",
        ]
    return "\n".join(lines) + "\n"


def _default(variable: str, described: Mapping[str, Any]) -> Any:
    if variable in DEFAULTS:
        return DEFAULTS[variable]
    if Settings.variables()[variable].is_required():
        return ""
    value = described.get("default")
    if isinstance(value, list):
        return ",".join(map(str, sorted(value) if described.get("uniqueItems") else value))
    return value


def _value_schema(described: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """What a value may be. Null leaves the setting to the service."""
    options = [option for option in described.get("anyOf", [described]) if option.get("type") != "null"]
    option = options[0]
    while "$ref" in option:
        option = definitions[option["$ref"].rpartition("/")[2]]
    kept = _kept(option)
    if option["type"] == "array" and (number := option["items"].get("type")) in ("integer", "number"):
        bounds = _kept(option["items"])  # which hold for a number that stands alone, too
        return {"type": [number, "string", "array", "null"], "items": {"type": number, **bounds}, **bounds}
    if option["type"] == "array":
        return {"type": ["string", "array", "null"], "items": {"type": "string"}}
    if option["type"] == "object":
        return {"type": ["object", "null"], "freeform": True}
    if "enum" in kept:
        kept["enum"] = [*kept["enum"], None]
    if "pattern" in kept:
        kept["pattern"] = f"^$|{kept['pattern']}"  # empty is as good as none
    kept.pop("minLength", None)
    return {"type": [option["type"], "null"], **kept}


def _kept(option: Mapping[str, Any]) -> dict[str, Any]:
    return {name: option[name] for name in _KEPT if name in option}


#: Rules of a setting that Helm can check too.
_KEPT = ("enum", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def with_config(text: str) -> str:
    """values.yaml with `config` written anew."""
    return _CONFIG.sub(lambda part: part[1] + config_block() + part[2], text)


# -- values.yaml as data ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One key of values.yaml with what is said of it."""

    path: tuple[str, ...]
    default: Any
    description: str
    schema: dict[str, Any]
    children: tuple[Value, ...]

    @property
    def is_group(self) -> bool:
        """Whether it only holds others."""
        return bool(self.children)


def values(text: str) -> tuple[Value, ...]:
    """Every value, in order."""
    return tuple(_read(yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text), text.splitlines(), ()))


def _read(node: Any, data: Mapping[str, Any], lines: list[str], path: tuple[str, ...]) -> Iterator[Value]:
    for key_node, value_node in node.value:
        key = key_node.value
        description, schema = _comments(lines, key_node.start_mark.line)
        default = data[key]
        # What is explained as a whole has no explained parts.
        children = (
            () if description or not isinstance(default, dict) else _read(value_node, default, lines, (*path, key))
        )
        yield Value(
            path=(*path, key), default=default, description=description, schema=schema, children=tuple(children)
        )


def _comments(lines: list[str], key_line: int) -> tuple[str, dict[str, Any]]:
    block: list[str] = []
    while key_line and lines[key_line - 1].strip().startswith("#"):
        key_line -= 1
        block.insert(0, lines[key_line].strip().removeprefix("#").strip())
    schemas = [line.removeprefix("@schema") for line in block if line.startswith("@schema")]
    words = [line for line in block if not line.startswith("@schema")]
    begins = [number for number, line in enumerate(words) if line.startswith("-- ")]
    description = " ".join(words[begins[-1] :]).removeprefix("-- ") if begins else ""
    return description, json.loads(schemas[0]) if schemas else {}


# -- values.schema.json ----------------------------------------------------------------------------------------------


def schema_of(text: str) -> str:
    """The schema: closed wherever the values are ours."""
    root = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the image service",
        **_closed(values(text)),
    }
    # Helm puts these two into the values of every chart.
    root["properties"]["global"] = {"type": "object"}
    _copy_what_is_alike(root["properties"], root["properties"])
    return json.dumps(root, indent=2) + "\n"


def _closed(children: tuple[Value, ...]) -> dict[str, Any]:
    properties = {child.path[-1]: _property(child) for child in children}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _copy_what_is_alike(found: dict[str, Any], root: dict[str, Any]) -> None:
    """Values that are written over others are what those may be: `{"like": [...]}` names them."""
    for each in found.values():
        if names := each.pop("like", None):
            each["properties"] = {name: root[name] for name in names}
        _copy_what_is_alike(each.get("properties", {}), root)


def _property(value: Value) -> dict[str, Any]:
    if value.is_group:
        return _closed(value.children)
    declared = {name: rule for name, rule in value.schema.items() if name != "freeform"}
    found: dict[str, Any] = {"description": value.description, "type": _TYPES.get(type(value.default), "null")}
    found |= declared
    if found["type"] == "object" and not value.schema.get("freeform"):
        found |= {"additionalProperties": False, "properties": _like_the_default(value.default or {})}
    return found


def _like_the_default(default: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a value that is explained as a whole: those that it has, of the same types."""
    types = {name: _TYPES[type(part)] for name, part in default.items()}
    return {name: {"type": "number" if kind == "integer" else kind} for name, kind in types.items()}


# -- README.md -------------------------------------------------------------------------------------------------------


def readme(text: str, values_text: str) -> str:
    """The chart's README with its table written anew."""
    rows = [_row(value) for value in _leaves(values(values_text))]
    table = "\n".join(["| value | default | meaning |", "| --- | --- | --- |", *rows])
    return _PART.sub(lambda part: f"{part[1]}\n{table}\n\n{part[2]}", text)


def _leaves(found: tuple[Value, ...]) -> Iterator[Value]:
    for value in found:
        if value.is_group:
            yield from _leaves(value.children)
        else:
            yield value


def _row(value: Value) -> str:
    default = json.dumps(value.default)
    short = "see `values.yaml`" if len(default) > _LONGEST_DEFAULT else f"`{default}`"
    meaning = value.description.replace("|", "\\|")
    return f"| `{'.'.join(value.path)}` | {short} | {meaning} |"


#: Characters of a default that still fit into the table.
_LONGEST_DEFAULT = 60


# -- k8s/ ------------------------------------------------------------------------------------------------------------


def manifests() -> dict[Path, str]:
    """The files of `k8s/`: the chart with the values there. Needs Helm's library."""
    from helm.rendering import objects  # noqa: PLC0415 - there is no wheel of it for every platform

    found = objects(yaml.safe_load((KUSTOMIZE / "values.yaml").read_text()))
    ours = [_without_helm(each) for each in found if "helm.sh/hook" not in each["metadata"].get("annotations", {})]
    return {KUSTOMIZE / "image-service.yaml": _documents(ours)}


def _without_helm(document: dict[str, Any]) -> dict[str, Any]:
    labels = document["metadata"]["labels"]
    del labels["helm.sh/chart"]
    labels["app.kubernetes.io/managed-by"] = "kustomize"
    return document


def _documents(found: list[dict[str, Any]]) -> str:
    return "# Generated from the chart; `make docs` writes it anew.\n" + yaml.safe_dump_all(found, sort_keys=False)


def generated() -> dict[Path, str]:
    """What every generated file should contain, but for those of `k8s/`, which need Helm."""
    values_file, readme_file = CHART / "values.yaml", CHART / "README.md"
    text = with_config(values_file.read_text())
    return {
        values_file: text,
        CHART / "values.schema.json": schema_of(text),
        readme_file: readme(readme_file.read_text(), text),
    }


if __name__ == "__main__":
    for file, content in generated().items():
        file.write_text(content)
    if find_spec("helm_python") is None:
        sys.exit("k8s/ was left as it is: there is no wheel of Helm's library for this platform")
    for file, content in manifests().items():
        file.write_text(content)
