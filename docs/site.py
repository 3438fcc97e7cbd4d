"""Builds the documents as a site with search, which needs no server and no internet: `make site`.

The pages stay where they are in the repository, and are written for readers there. This lays out a copy of them as the
site's generator wants it, with a reference of the API, and looks through what was made for links that lead nowhere.
"""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from clients.python_code import annotation
from clients.schema import Api, Field, Operation
from docs.generate import ROOT, documents

BUILD = ROOT / "build" / "site"
PAGES = BUILD / "pages"
REFERENCE = "reference.md"
#: Documents that other programs generate nothing in.
PLAIN = (
    *("CONTRIBUTING.md", "CHANGELOG.md", "helm/image-service/README.md", "helm/image-service/CHANGELOG.md"),
    *("clients/python/REFERENCE.md", "clients/typescript/REFERENCE.md"),
)

#: The sections of the navigation. What is in none of them is under "More".
SECTIONS: Mapping[str, Sequence[str]] = {
    "Use": (
        *(
            "docs/api.md",
            REFERENCE,
            "docs/console.md",
            "docs/presets.md",
            "docs/metadata.md",
            "docs/events.md",
            "docs/webhooks.md",
        ),
        *("clients/python/README.md", "clients/python/REFERENCE.md"),
        *("clients/typescript/README.md", "clients/typescript/REFERENCE.md", "examples/README.md"),
    ),
    "Run": (
        *("docs/local.md", "docs/deployment.md", "docs/settings.md", "docs/operations.md", "docs/troubleshooting.md"),
        *("docs/replay.md", "docs/metrics.md", "docs/logs.md", "docs/traces.md", "docs/scaling.md"),
        *(
            "docs/performance.md",
            "docs/security.md",
            "docs/image.md",
            "helm/image-service/README.md",
            "infra/README.md",
        ),
    ),
    "Understand": ("docs/architecture.md", "docs/glossary.md", "docs/comparison.md"),
    "Contribute": ("CONTRIBUTING.md", "docs/extending.md", "CHANGELOG.md"),
}

#: What a page is called in the navigation, where its own title says too little there.
TITLES = {
    "clients/python/README.md": "Client for Python",
    "clients/python/REFERENCE.md": "Reference for Python",
    "clients/typescript/README.md": "Client for TypeScript",
    "clients/typescript/REFERENCE.md": "Reference for TypeScript",
}

_LINK = re.compile(r"(?P<before>\]\()(?P<target>(?!https?:|mailto:|#)[^)#\s]+)(?P<anchor>#[^)]*)?\)")
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def main() -> int:
    """Build it, and end with 1 if anything in it leads nowhere."""
    build()
    found = list(flaws(PAGES))
    for flaw in found:
        sys.stderr.write(f"{flaw}\n")
    sys.stdout.write(f"{PAGES / 'index.html'}\n")
    return int(bool(found))


def build() -> None:
    shutil.rmtree(BUILD, ignore_errors=True)
    source = BUILD / "source"
    pages = _pages()
    for page in pages:
        _lay(source, page)
    (source / REFERENCE).write_text(reference(Api()))
    settings = (ROOT / "docs" / "site.toml").read_text()
    navigation = json.dumps(_navigation([*pages, REFERENCE]), indent=1)
    # TOML's inline tables have `=` where JSON's have a colon.
    (BUILD / "zensical.toml").write_text(settings.replace("nav = []", f"nav = {_as_toml(navigation)}"))
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", "zensical.toml"]
    subprocess.run(command, cwd=BUILD, check=True)  # noqa: S603 - it runs the generator


def _pages() -> list[str]:
    return [str(page.relative_to(ROOT)) for page in documents()] + list(PLAIN)


def _lay(source: Path, page: str) -> None:
    """A page, and what it links to that is no page."""
    folder = (ROOT / page).parent
    text = "".join(
        part if part.startswith("```") else _LINK.sub(lambda link: _link(source, folder, link), part)
        for part in _FENCE.split((ROOT / page).read_text())
    )
    to = source / page
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(text)
    for name in re.findall(r'(?:src|srcset)="(?!https?:)([^"]+)"', text):
        _copy(source, (folder / name).resolve())


def _link(source: Path, folder: Path, link: re.Match[str]) -> str:
    target = (folder / link["target"]).resolve()
    if target.is_dir():
        inner = target / "README.md"
        if not inner.exists():
            return f"{link['before']}#)"
        return f"{link['before']}{link['target'].rstrip('/')}/README.md{link['anchor'] or ''})"
    if target.suffix != ".md" or str(target.relative_to(ROOT)) not in _known():
        _copy(source, target)
    return link[0]


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(_pages())


def _copy(source: Path, file: Path) -> None:
    to = source / file.relative_to(ROOT)
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, to)


def _navigation(pages: Sequence[str]) -> list[object]:
    named = [page for section in SECTIONS.values() for page in section if page in pages]
    rest = [page for page in pages if page not in {*named, "README.md"}]
    decisions = [page for page in rest if page.startswith("docs/adr/")]
    more = [page for page in rest if page not in decisions]
    sections: dict[str, list[object]] = {
        name: [{TITLES[page]: page} if page in TITLES else page for page in section if page in pages]
        for name, section in SECTIONS.items()
    }
    nav: list[object] = [{"Start": "README.md"}, *({name: each} for name, each in sections.items())]
    return [*nav, {"Decisions": decisions}, {"More": more}]


def _as_toml(text: str) -> str:
    inline = re.sub(r"{\s+(\"[^\"]+\"): ", r"{\1 = ", text)
    return re.sub(r"\n *}", "}", inline)


# -- the reference ----------------------------------------------------------------------------------------------------


def reference(api: Api) -> str:
    """Every call of the API, with what it asks and answers, as a page."""
    head = (
        "# API reference\n\nEvery call, made from the OpenAPI document. [The guide](docs/api.md) shows how they belong"
        " together; the service itself serves a page where each can be tried, at `/images/docs`.\n"
    )
    calls = "\n".join(_call(operation) for operation in api.operations)
    models = "\n".join(_model(model.name, model.description, model.fields) for model in api.models)
    return f"{head}\n## Calls\n\n{calls}\n## Models\n\n{models}"


def _call(operation: Operation) -> str:
    asked = [
        *(("path", each) for each in operation.in_path),
        *(("query", each) for each in operation.in_query),
        *(("body", each) for each in operation.in_body),
    ]
    rows = [f"| `{each.name}` | {where} | {_kind(each)} | {_words(each.description)} |" for where, each in asked]
    table = ["| name | in | type | |", "| --- | --- | --- | --- |", *rows, ""] if rows else []
    key = ["Takes an `Idempotency-Key`.", ""] if operation.idempotent else []
    return "\n".join(
        [
            f"### {operation.name}",
            "",
            f"`{operation.method} {operation.path}`",
            "",
            operation.description,
            "",
            *table,
            *key,
            f"Answers [{operation.answer}](#{operation.answer.lower()}).",
            "",
        ]
    )


def _model(name: str, description: str, fields: Sequence[Field]) -> str:
    rows = [f"| `{each.name}` | {_kind(each)} | {_words(each.description)} |" for each in fields]
    table = ["| field | type | |", "| --- | --- | --- |", *rows, ""]
    return "\n".join([f"### {name}", "", description, "", *table])


def _kind(each: Field) -> str:
    kind = annotation(each.type) + (" | None" if each.nullable else "")
    return f"`{kind}`".replace(" | ", " or ") + ("" if each.required else ", optional")


def _words(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# -- what leads nowhere -----------------------------------------------------------------------------------------------


class _Page(html.parser.HTMLParser):
    """What a page links to, what it loads, and which places it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") in {"stylesheet", "icon", "preconnect", "preload"}:
            self.loads.append(given["href"])
        if tag in {"script", "img", "source", "iframe"} and "src" in given:
            self.loads.append(given["src"])


def flaws(pages: Path) -> Iterator[str]:
    """Links and anchors that lead nowhere, and whatever a page loads from elsewhere."""
    for path in sorted(pages.rglob("*.html")):
        if path.name == "404.html":
            continue
        page = _page(path)
        for target in page.loads:
            if urlsplit(target).netloc or not _exists(path, target):
                yield f"{path.relative_to(pages)} loads {target}"
        for target in page.links:
            if not _exists(path, target):
                yield f"{path.relative_to(pages)} links to {target}"


def _exists(page: Path, target: str) -> bool:
    there = urlsplit(target)
    if there.scheme or there.netloc:
        return True
    file = (page.parent / unquote(there.path)).resolve() if there.path else page
    if file.is_dir():
        file /= "index.html"
    if not file.is_file():
        return False
    return file.suffix != ".html" or unquote(there.fragment) in _page(file).places


@cache
def _page(path: Path) -> _Page:
    return _Page(path.read_text())


if __name__ == "__main__":
    sys.exit(main())
