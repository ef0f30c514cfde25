"""What the documents name exists: files, links, commands, settings, routes."""

import re
from pathlib import Path

import pytest

from deploy.routes import documents
from services.watch.settings import WATCH_PREFIX, WatchSettings
from shared.settings import PREFIX, Settings
from tests.unit.architecture.source import ROOT, modules

DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])
ADRS = sorted((ROOT / "docs" / "adr").glob("0*.md"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("doc", DOCS, ids=name)
def test_every_file_that_is_named_exists(doc: Path) -> None:
    named = re.findall(r"`((?:services|shared|deploy|tests|docs)/[\w./-]*)`", doc.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_document_that_code_names_exists() -> None:
    named = {
        (str(m), path) for m in modules().values() for path in re.findall(r"docs/[\w/.-]+\.md", m.path.read_text())
    }
    assert [(module, path) for module, path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("doc", DOCS, ids=name)
def test_every_link_leads_somewhere(doc: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]+)", doc.read_text())
    assert [link for link in links if not (doc.parent / link).exists()] == []


@pytest.mark.parametrize("doc", DOCS, ids=name)
def test_every_make_target_that_is_named_exists(doc: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^ {4})make ([a-z-]+)", doc.read_text(), re.MULTILINE))
    assert named - targets == set()


@pytest.mark.parametrize("doc", DOCS, ids=name)
def test_every_setting_that_is_named_exists(doc: Path) -> None:
    settings = {PREFIX + field.upper() for field in Settings.model_fields}
    settings |= {WATCH_PREFIX + field.upper() for field in WatchSettings.model_fields} | {WATCH_PREFIX.rstrip("_")}
    named = set(re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", doc.read_text()))
    assert {setting for setting in named if setting.removesuffix("_FILE") not in settings} == set()


def test_the_readme_has_every_setting() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [field for field in Settings.model_fields if f"`{field.upper()}`" not in readme] == []


def test_every_route_of_the_tour_exists() -> None:
    served = {
        (method.upper(), re.sub(r"{\w+}", "{}", path))
        for document in documents().values()
        for path, methods in document["paths"].items()
        for method in methods
    }
    tour = re.findall(r"^(GET|PUT|POST|DELETE) +(/v1/\S+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(tour) > 30
    assert [(m, path) for m, path in tour if (m, re.sub(r"{\w+}", "{}", path)) not in served] == []


def test_the_first_screen_of_the_readme_has_the_two_commands_and_no_other() -> None:
    first_screen = (ROOT / "README.md").read_text().split("\n## ")[0]
    assert len(first_screen.splitlines()) <= 24
    assert re.findall(r"make [a-z]+", first_screen) == ["make demo", "make test"]


@pytest.mark.parametrize("adr", ADRS, ids=name)
def test_a_decision_is_one_page_with_one_line_to_quote(adr: Path) -> None:
    text = adr.read_text()
    assert re.findall(r"^## (.*)", text, re.MULTILINE) == ["Context", "Decision", "Consequences", "Alternatives"]
    assert len(re.findall(r"^> ", text, re.MULTILINE)) == 1
    assert len(text.split()) < 500
    assert f"({adr.name})" in (ROOT / "docs" / "adr" / "README.md").read_text()


def test_a_newcomer_is_told_where_the_usual_changes_go() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for change in ("A new channel", "A new rule field", "A new clock metric", "A new sender", "A new event"):
        row = next((line for line in text.splitlines() if change in line), "")
        assert re.search(r"`(services|shared)/[\w/]+\.py`", row), f"ARCHITECTURE.md names no file for: {change}"
