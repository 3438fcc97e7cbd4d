"""The documents tell the truth."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import pyvips

from docs import gallery
from docs.generate import PARTS, ROOT, documents, generated
from processor.errors import ImageRejected, JobNotFound, leaves
from processor.recipes import STANDARD_VARIANTS
from processor.work.outcomes import OutcomeKind
from service.cli import serve
from service.config import Settings
from service.http.problems import known_failures, known_problems, problem_of
from service.routes import ROUTES
from tests.guide import DOCS, blocks

CHART = ROOT / "helm" / "image-service"
PROSE = [*documents(), *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")), CHART / "README.md"]


def _name(document: Path) -> str:
    return str(document.relative_to(ROOT))


#: Parts for which dozens of days are simulated.
SWEEPS = {name for name in PARTS if name.startswith("sweep-")} | {"scaling-spread"}


def test_generated_parts_are_fresh() -> None:
    pages = {_name(page): page.read_text() for page in documents()}
    stale = [name for name, text in pages.items() if generated(text, leave=SWEEPS) != text]
    assert stale == [], "run `make docs`"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_parts_that_simulate_dozens_of_days_are_fresh() -> None:
    """In a process of its own without the coverage's tracer, which slows the simulation down."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-m", "docs.generate", "--check"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), f"run `make docs`: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("document", PROSE, ids=_name)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


async def test_the_pictures_that_are_shown_are_those_that_the_script_makes() -> None:
    made = await gallery.made()

    shown = re.findall(r"!\[[^]]+\]\(pictures/([a-z-]+\.webp)\)", "".join(page.read_text() for page in documents()))
    stored = {file.name: file.read_bytes() for file in gallery.FOLDER.iterdir()}
    assert sorted(shown) == sorted(stored) == sorted(made)
    assert sum(map(len, stored.values())) < 200_000
    for name, data in made.items():
        one, other = (pyvips.Image.new_from_buffer(each, "") for each in (data, stored[name]))
        assert (one.width, one.height, one.bands) == (other.width, other.height, other.bands), name
        # Other releases of the encoder write other bytes of the same picture.
        assert (one - other).abs().avg() < 3, f"{name}: run `python -m docs.gallery`"


@pytest.mark.parametrize("document", PROSE, ids=_name)
def test_links_lead_to_headings_that_are_there(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", document.read_text())
    assert [link for link in links if link[1] not in _anchors(document.parent / link[0] if link[0] else document)] == []


def _anchors(document: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_every_generated_part_stands_in_one_document() -> None:
    named = [name for page in documents() for name in re.findall(r"<!-- generated: ([a-z-]+) -->", page.read_text())]
    assert sorted(named) == sorted(PARTS)


def test_every_make_target_that_the_documents_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for document in PROSE for target in re.findall(r"`make ([a-z-]+)", document.read_text())}
    assert named <= targets


def test_the_guides_example_of_a_problem_is_what_the_service_answers() -> None:
    (shown,) = [block.text for block in blocks("api.md") if block.section == "When something is wrong"]
    example = json.loads(shown)
    answered = problem_of(JobNotFound()).document(example["requestId"])
    assert example == json.loads(answered.model_dump_json(by_alias=True, exclude_none=True))


def test_every_test_that_the_threat_model_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "security.md").read_text())
    assert len(named) > 30
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text()]
    assert missing == []


# -- what the pages say of codes --------------------------------------------------------------------------------------

#: Every code that an answer or a failed job may have, with the statuses of the answers.
STATUSES: dict[str, set[str]] = {code: set() for code, _ in known_failures()}
for _problem in known_problems():
    STATUSES.setdefault(_problem.code, set()).add(str(_problem.status))
#: Words of the guide that look like codes, and are none of a job or an answer: `stills_only` is of a format.
NO_CODES = {"truss_client", "uploaded_at", "stills_only"}
GUIDES = [DOCS / name for name in ("api.md", "operations.md", "troubleshooting.md", "security.md", "architecture.md")]


@pytest.mark.parametrize("document", GUIDES, ids=_name)
def test_every_code_that_a_page_names_with_a_status_is_answered_with_it(document: Path) -> None:
    named = re.findall(r"\b([45]\d\d)\s+\(?`([a-z_]+)`", document.read_text())
    assert [(status, code) for status, code in named if status not in STATUSES.get(code, set())] == []


def test_every_code_of_the_guide_exists() -> None:
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", (DOCS / "api.md").read_text())) - NO_CODES
    assert len(named) > 25
    assert named <= set(STATUSES)


def test_the_guide_lists_every_code_that_a_job_may_fail_with() -> None:
    table = (DOCS / "api.md").read_text().partition("## Why a job fails")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE))
    ours = {"superseded", "source_missing", "asset_missing", "unavailable"}
    ours |= {"daily_limit_reached", "image_limit_reached"}
    assert listed == {error.code for error in leaves(ImageRejected)} | ours


def test_the_file_is_at_fault_for_all_codes_but_those_that_operations_names() -> None:
    """The others are not of the file: nothing is rejected, and the file may be good."""
    said = (DOCS / "operations.md").read_text().partition("fault for all codes but ")[2].partition(";")[0]
    ours = set(re.findall(r"`([a-z_]+)`", said))
    listed = {line.split("`")[1] for line in PARTS["failure-codes"]().splitlines()[2:]}
    assert listed - ours == {error.code for error in leaves(ImageRejected)}


@pytest.mark.parametrize("page", ["README.md", "docs/api.md", "docs/operations.md", "docs/security.md"])
def test_every_call_that_a_page_names_exists(page: str) -> None:
    """With its method, and whatever it calls the ids."""
    text = (ROOT / page).read_text()
    named = re.findall(r"`(GET|POST|PUT|DELETE) (/images/[\w{}/.-]+)", text)
    known = {(route.method, re.sub(r"{\w+}", "{}", route.path)) for route in ROUTES}
    assert named != []
    assert {(method, re.sub(r"{\w+}", "{}", path)) for method, path in named} <= known


# -- what the pages say of the code -----------------------------------------------------------------------------------


@pytest.mark.parametrize("document", PROSE[:-2], ids=_name)
def test_every_file_that_a_page_names_exists(document: Path) -> None:
    named = re.findall(
        r"`((?:processor|service|tests|docs|benchmarks|infra|helm|requirements)/[\w/.-]+)`", document.read_text()
    )
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_log_line_that_is_explained_is_written_somewhere() -> None:
    table = (DOCS / "logs.md").read_text().partition("| `event` | level |")[2].partition("\n\n")[0]
    events = {name for row in table.splitlines()[2:] for name in re.findall(r"`([A-Z][^`]+)`", row.split("|")[1])}
    code = "".join(file.read_text() for package in ("service", "processor") for file in (ROOT / package).rglob("*.py"))
    assert len(events) > 15
    assert [event for event in events if f'"{event}' not in code] == []


def test_the_glossary_lists_every_outcome_of_an_event() -> None:
    (row,) = re.findall(r"^\| \*\*outcome\*\* \|.*", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    assert set(re.findall(r"\w+", row.partition("event: ")[2])) == {kind.value for kind in OutcomeKind}


def test_the_first_page_shows_the_variants_that_are_made() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (\d+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    made = [
        (spec.name, " x ".join(map(str, spec.box)) if spec.box else "the original's own size", str(spec.quality))
        for spec in STANDARD_VARIANTS
    ]
    assert rows == made


# -- what a reader copies ---------------------------------------------------------------------------------------------


def test_every_variable_of_the_guide_is_set_by_a_block_before_it_is_used() -> None:
    known: set[str] = set()
    commands = [block.text for block in blocks("api.md") if block.language == "console"]
    assert len(commands) > 10
    for text in commands:
        for line in text.replace("${TRUSS:-http", "").splitlines():
            shell = re.sub(r"(?<=-c ')[^']*'|\$1\b", "", line)
            assert set(re.findall(r"\$\{?([A-Za-z_]+)", shell)) <= known, line
            known |= set(re.findall(r"(?:^|\s)(?:export )?([A-Z_]+)=|", shell)) | set(re.findall(r"for (\w+) in", line))


def test_the_guide_asks_for_nothing_that_a_fresh_machine_lacks() -> None:
    programs = {"curl", "python3", "node", "echo", "sleep", "seq"}
    shell = "".join(block.text for block in blocks("api.md") if block.language == "console")
    shell = re.sub(r"'[^']*'", "''", shell, flags=re.DOTALL).replace("\\\n", " ")
    starts = re.findall(r"(?:^|[|;(]|\$\()\s*([a-z][\w-]*)\b(?!=|\))", shell, re.MULTILINE)
    words = {"export", "field", "for", "do", "done", "case", "esac", "break"}
    assert set(starts) - words - {"pending", "uploaded", "processing"} <= programs


def test_the_guide_shows_what_it_tells_to_take_from_answers() -> None:
    shown = [json.loads(block.text) for block in blocks("api.md") if block.language == "json"]
    assert {"uploadUrl", "uniqueId", "processingId", "post", "headers"} <= set(shown[0])
    assert (shown[1]["status"], list(shown[1]["processedImages"])) == (
        "completed",
        ["thumbnail", "medium", "large", "webp"],
    )


# -- how long the pages are -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "words"), [("README.md", 900)])
def test_the_first_page_is_short(page: str, words: int) -> None:
    assert len((ROOT / page).read_text().split()) < words


def test_the_first_page_has_the_settings_without_which_nothing_starts_and_help_leads_to_all() -> None:
    required = {variable for variable, field in Settings.variables().items() if field.is_required()}
    table = (ROOT / "README.md").read_text().partition("<!-- generated: required-settings -->")[2]
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE)) == required
    assert "docs/settings.md" in (serve.help or "")


def test_capacity_is_one_page() -> None:
    assert len((DOCS / "scaling.md").read_text().splitlines()) <= 200
