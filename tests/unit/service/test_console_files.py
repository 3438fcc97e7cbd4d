"""The files of the console, read as text: what a browser would only find when somebody opens that view."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from typing import Any

import pytest

from processor.bulk.operations import BACKFILL, DELETE, PROCESS
from processor.fits import Gravity
from processor.moments import Kind
from processor.pipeline.analyses import ANALYSES, LOOKS, READINGS
from processor.pipeline.effects.watermark import PLACES, TILED
from processor.recipes import KEEPABLE
from service.auth.principal import Scope
from service.calls.console import CONTENT_TYPES, FILES
from service.calls.preset_documents import PresetDocument
from service.http.problems import known_failures

SCRIPTS = {path.name: path.read_text() for path in sorted(FILES.glob("*.js"))}
CODE = {name: text for name, text in SCRIPTS.items() if name != "texts.js"}
#: How a script could turn data into markup, code or styles, or ask another host for something.
FORBIDDEN = (
    *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "createContextualFragment", "DOMParser"),
    *("eval(", "new Function", "javascript:", "srcdoc", "postMessage", "document.cookie", "http://", "https://"),
)
#: The name of SVG's elements, which nothing fetches.
NAMESPACE = "http://www.w3.org/2000/svg"

#: What a preset may say, by the names on the wire.
FIELDS = PresetDocument.model_json_schema()["properties"]

each_script = pytest.mark.parametrize("name", SCRIPTS)


@cache
def texts() -> dict[str, Any]:
    """The pairs of English and German, by key."""
    table = SCRIPTS["texts.js"].partition("const TEXTS = {\n")[2].partition("\n};")[0]
    lines = [re.fullmatch(r'  (?:"([\w.]+)"|(\w+)): (\[.*\]),', line) for line in table.splitlines()]
    assert all(lines), [line for line, found in zip(table.splitlines(), lines, strict=True) if not found]
    keys = [found[1] or found[2] for found in lines if found]
    assert len(keys) == len(set(keys))
    return {key: json.loads(found[3]) for key, found in zip(keys, lines, strict=True) if found}


def forms(text: str | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else text


def listed(name: str, constant: str) -> list[str]:
    found = re.search(rf"^(?:export )?const {constant} = (?:new Set\()?(\[[^\]]*\])", SCRIPTS[name], re.MULTILINE)
    assert found
    values: list[str] = json.loads(found[1])
    return values


def test_every_text_is_there_in_both_languages_with_the_same_blanks() -> None:
    for key, pair in texts().items():
        assert len(pair) == 2, key
        english, german = map(forms, pair)
        assert len(english) == len(german) in (1, 2), key
        assert all(text.strip() for text in english + german), key
        for one, other in zip(english, german, strict=True):
            assert set(re.findall(r"\{(\w+)\}", one)) == set(re.findall(r"\{(\w+)\}", other)), key


def test_every_text_that_is_used_is_there_and_every_other_is_gone() -> None:
    code = "\n".join(CODE.values())
    assert set(re.findall(r'\bt\("([\w.]+)"', code)) <= texts().keys()
    families = {
        *re.findall(r"\b(?:t|has)\(`(\w+\.)\$\{", code),
        *(f"{key}." for key in re.findall(r'\bchosen\("(\w+)"', code)),
    }
    for family in families:
        assert any(key.startswith(family) for key in texts()), family
    named = {f"{key}What" for key in re.findall(r'\bnamed\("(\w+)"', code)}
    assert named <= texts().keys()
    used = {*re.findall(r'"([\w.]+)"', code), *named}
    assert {key for key in texts() if key not in used and not key.startswith(tuple(families))} == set()


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("failure", [code for code, _ in known_failures()]),
        ("scope", [scope.value.partition(":")[2] for scope in Scope]),
        ("status", listed("gallery.js", "STATUSES")[1:]),
        ("upload", ["waiting", "sending", "converting", "paused", *listed("uploads.js", "ENDED")]),
        ("batch", [BACKFILL, DELETE, PROCESS]),
        ("gravity", list(Gravity)),
        ("choice", [*listed("presets.js", "ANALYSES"), *LOOKS, *KEEPABLE]),
        ("preset", [name for name in FIELDS if name != "variants"]),
        ("position", [*PLACES, TILED]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_the_service_may_say_has_a_text(prefix: str, words: list[str]) -> None:
    assert {f"{prefix}.{word}" for word in words} <= texts().keys()


def test_the_page_offers_what_the_service_takes() -> None:
    assert sorted(listed("watermarks.js", "POSITIONS")) == sorted([*PLACES, TILED])
    assert set(listed("presets.js", "ANALYSES")) == ANALYSES.keys() | READINGS.keys()
    assert sorted(listed("webhooks.js", "KINDS")) == sorted(Kind)
    assert sorted(listed("keys.js", "SCOPES")) == sorted(Scope)


@each_script
def test_a_script_imports_what_is_there(name: str) -> None:
    for names, source in re.findall(r'^import \{([^}]*)\} from "\./([^"]+)";', SCRIPTS[name], re.MULTILINE):
        for each in names.split(","):
            exported = rf"^export (?:async )?(?:function\*?|class|const|let) {each.strip()}\b"
            assert re.search(exported, SCRIPTS[source], re.MULTILINE), f"{name}: {each} of {source}"
    imports = re.findall(r"^import .*$", SCRIPTS[name], re.MULTILINE)
    assert all(re.fullmatch(r'import \{[^}]*\} from "\./\w+\.js";', line) for line in imports)


@each_script
def test_a_script_uses_what_it_imports(name: str) -> None:
    body = re.sub(r"^import .*$", "", SCRIPTS[name], flags=re.MULTILINE)
    for names in re.findall(r"^import \{([^}]*)\}", SCRIPTS[name], re.MULTILINE):
        for each in names.split(","):
            assert re.search(rf"\b{each.strip()}\b", body), f"{name}: {each.strip()}"


@each_script
def test_a_script_makes_no_markup_of_data_and_asks_no_other_host(name: str) -> None:
    text = re.sub(r'placeholder: "[^"]*"', "", SCRIPTS[name]).replace(NAMESPACE, "")
    assert [each for each in FORBIDDEN if each in text] == []


def test_credentials_stay_in_the_tab() -> None:
    """`localStorage` outlives the tab: it has the language alone."""
    assert [name for name, text in SCRIPTS.items() if "localStorage" in text] == ["texts.js"]
    assert "indexedDB" not in SCRIPTS["api.js"] + SCRIPTS["signin.js"]


def test_the_sheet_fetches_nothing() -> None:
    assert re.findall(r"url\(|@import", (FILES / "console.css").read_text()) == []


def test_every_colour_and_class_of_the_sheet_is_in_use() -> None:
    sheet = (FILES / "console.css").read_text()
    named = set(re.findall(r"^  (--[\w-]+):", sheet, re.MULTILINE))
    assert {each for each in named if f"var({each})" not in sheet} == set()
    undefined = set(re.findall(r"var\((--[\w-]+)\)", sheet)) - named
    assert undefined == {each for each in undefined if f'"{each}"' in "\n".join(CODE.values())}


def test_every_file_is_served() -> None:
    assert {path.suffix for path in FILES.iterdir()} == set(CONTENT_TYPES)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node reads the scripts")
def test_the_scripts_are_valid_modules() -> None:
    program = (
        "const { SourceTextModule } = require('node:vm');"
        "for (const [name, text] of Object.entries(JSON.parse(require('node:fs').readFileSync(0))))"
        " new SourceTextModule(text, { identifier: name });"
    )
    command = ["node", "--experimental-vm-modules", "--no-warnings", "-e", program]
    done = subprocess.run(command, input=json.dumps(SCRIPTS), capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
