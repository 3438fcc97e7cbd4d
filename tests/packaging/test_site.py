"""The documents become a site in which every link leads somewhere, and which needs nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clients.schema import Api
from docs import flow
from docs.generate import ROOT, documents
from docs.site import PAGES, SECTIONS, build, flaws, reference
from service.config import Settings


@pytest.mark.slow
def test_the_site_has_every_document_and_no_link_that_leads_nowhere() -> None:
    build()
    assert list(flaws(PAGES)) == []
    pages = {str(path.relative_to(PAGES)) for path in PAGES.rglob("*.html")}
    made = {
        str(page.relative_to(ROOT)).replace("README.md", "index.md").replace(".md", ".html") for page in documents()
    }
    assert made | {"reference.html"} <= pages
    found = (PAGES / "search.json").read_text()
    assert "createUploadUrl" in found
    assert "quarantine" in found or "suspect" in found


def test_what_leads_nowhere_or_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "good.html").write_text('<h1 id="here">x</h1><a href="#here">x</a><a href="https://example.com">x</a>')
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "index.html").write_text('<a href="../good.html#here">x</a>')
    assert list(flaws(tmp_path)) == []
    (tmp_path / "bad.html").write_text(
        '<link rel="stylesheet" href="https://cdn.example/x.css"><script src="gone.js"></script>'
        '<img src="//cdn.example/x">'
        '<a href="good.html#there">x</a><a href="gone.html">x</a><a href="folder/">x</a><a href="#gone">x</a>'
    )
    assert list(flaws(tmp_path)) == [
        "bad.html loads https://cdn.example/x.css",
        "bad.html loads gone.js",
        "bad.html loads //cdn.example/x",
        "bad.html links to good.html#there",
        "bad.html links to gone.html",
        "bad.html links to #gone",
    ]


def test_the_navigation_names_documents_that_exist() -> None:
    named = {page for section in SECTIONS.values() for page in section}
    assert [page for page in named if page != "reference.md" and not (ROOT / page).exists()] == []


def test_the_reference_has_every_call_with_what_it_asks() -> None:
    api = Api()
    text = reference(api)
    for operation in api.operations:
        section = text.partition(f"### {operation.name}\n")[2].partition("\n### ")[0]
        assert f"`{operation.method} {operation.path}`" in section
        asked = (*operation.in_path, *operation.in_query, *operation.in_body)
        assert [each.name for each in asked if f"| `{each.name}` |" not in section] == []


def test_the_picture_of_the_flow_is_fresh() -> None:
    assert flow.FILE.read_text() == flow.drawing(), "run `make docs`"


def test_the_comparison_tells_our_limits_as_they_are() -> None:
    row = re.findall(r"^\| this service \| .*$", (ROOT / "docs" / "comparison.md").read_text(), re.MULTILINE)[-1]
    default = {
        name: int(Settings.variables()[name].default) for name in ("MAX_UPLOAD_BYTES", "MAX_PIXELS", "MAX_FRAMES")
    }
    assert f"{default['MAX_UPLOAD_BYTES'] // 2**20} MiB" in row
    assert f"{default['MAX_PIXELS'] // 10**6} million" in row
    assert f"{default['MAX_FRAMES']} frames" in row


def test_what_the_comparison_says_of_this_service_leads_to_where_it_is_told() -> None:
    """Each paragraph about a difference has a link to a page of ours."""
    text = (ROOT / "docs" / "comparison.md").read_text().partition("## What is different here")[2].partition("\n## ")[0]
    paragraphs = [part for part in text.split("\n\n") if part.startswith("**")]
    assert len(paragraphs) > 5
    assert [part for part in paragraphs if not re.search(r"\]\((?!https?:)[\w/.-]+\.md", part)] == []
