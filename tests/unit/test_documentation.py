"""Everything that the documentation names exists: linked pages, files, commands, settings, metrics and routes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import pytest
from pydantic import AliasChoices

from gateway.app import api
from gateway.web.problems import STATUS_OF_CODE
from runtime.metrics.page import names as metric_names
from runtime.settings import OTHER_VARIABLES, Settings

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "README.md"
DOCS: Final = ROOT / "docs"
DECISIONS: Final = DOCS / "decisions"
PAGES: Final = (*ROOT.glob("*.md"), *DOCS.rglob("*.md"), ROOT / "tidegate" / "README.md")

README_MAX_LINES: Final = 149

_CODE: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_SPAN: Final = re.compile(r"`([^`\n]+)`")
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FOLDERS: Final = (*("domain", "runtime", "gateway", "workers", "ops", "loadtests", "tests", "tidegate", "docs"), ".ci")
_PATH: Final = re.compile(rf"(?:{'|'.join(map(re.escape, _FOLDERS))})/[\w./-]*")
_ROUTE: Final = re.compile(r"(?:(?:GET|POST|PUT|PATCH|DELETE) )?(/(?:api|health|metrics|\.well-known)\b[\w./{}-]*)")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _spans(page: Path) -> Iterator[str]:
    """The text in backticks within a line."""
    yield from _SPAN.findall(_CODE.sub("", _text(page)))


def _code(page: Path) -> Iterator[str]:
    """The text in backticks, and the lines of code blocks."""
    yield from _spans(page)
    for block in _CODE.findall(_text(page)):
        yield from block.splitlines()[1:-1]


def _anchor(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _named(pattern: str) -> set[str]:
    """Everything in the pages' code that matches a pattern."""
    named = {found for page in PAGES for line in _code(page) for found in re.findall(pattern, line)}
    assert len(named) > 5
    return named


def test_the_readme_is_short() -> None:
    assert len(_text(README).splitlines()) <= README_MAX_LINES


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_CODE.sub("", _text(page))):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        there = page if not path else page.parent / path
        assert there.is_file(), link
        assert not anchor or anchor in map(_anchor, _HEADING.findall(_text(there))), link


@each_page
def test_files_that_are_named_exist(page: Path) -> None:
    """A page that adds files (`file=`) may name those as well."""
    added = set(re.findall(r"^```\w+ file=(\S+)$", _text(page), re.MULTILINE))
    named = {span for span in _spans(page) if _PATH.fullmatch(span)} - added
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_files_in_drawings_exist() -> None:
    """In code blocks without a language."""
    drawings = re.findall(r"^```\n(.*?)^```$", _text(README), re.MULTILINE | re.DOTALL)
    named = {path for drawing in drawings for path in _PATH.findall(drawing)}
    assert len(named) > 10
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_the_readme_says_where_things_are_by_paths() -> None:
    """So that the test above looks at them."""
    table = _text(README).partition("## Where to change what\n")[2].partition("\n\nImports")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 10
    for row in rows:
        where = row.split("|")[2]
        assert any(_PATH.fullmatch(span) or (ROOT / span).is_file() for span in _SPAN.findall(where)), row


def test_the_index_lists_every_page() -> None:
    listed = {(DOCS / link).resolve() for link in _LINK.findall(_text(DOCS / "README.md"))}
    assert listed == {README, DECISIONS / "README.md", *(p for p in DOCS.glob("*.md") if p.name != "README.md")}


def test_every_decision_is_listed_and_says_why() -> None:
    pages = sorted(DECISIONS.glob("[0-9]*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    listed = re.findall(r"^- \[(.+)\]\((.+)\)$", _text(DECISIONS / "README.md"), re.MULTILINE)
    assert listed == [(_HEADING.findall(_text(page))[0], page.name) for page in pages]
    for page in pages:
        assert _HEADING.findall(_text(page))[1:] == ["Context", "Decision", "Measured", "Alternatives"], page.name


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", _text(ROOT / "Makefile"), re.MULTILINE))
    assert _named(r"^(?:\$ )?make ([a-z-]+)\b") <= targets


def test_commands_exist() -> None:
    commands = {command.name for command in entry_points(group="tidegate.commands")}
    assert _named(r"(?:^|\bbin/|keys\.json )tidegate ([a-z]+)\b") <= commands


def test_settings_exist() -> None:
    names = set(OTHER_VARIABLES)
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        names.update(map(str, alias.choices) if isinstance(alias, AliasChoices) else [f"TIDEGATE_{name.upper()}"])
    assert _named(r"\bTIDEGATE_[A-Z_]*[A-Z]") <= names


def test_metrics_exist() -> None:
    assert _named(r"^tidegate_[a-z_]+$") <= metric_names()


def test_problems_have_the_documented_status() -> None:
    """As in 503 `mailbox_full`."""
    said = {found for page in PAGES for found in re.findall(r"\b([45]\d\d) `([a-z_]+)`", _text(page))}
    assert len(said) > 10
    assert said <= {(str(status), code) for code, status in STATUS_OF_CODE.items()}


def test_routes_exist() -> None:
    """Including pages outside the API, such as `/api/docs`; the names in braces do not matter."""
    app = api(Settings())
    served = {*app.openapi()["paths"], *(str(getattr(route, "path", "")) for route in app.routes)}
    named = {found[1] for page in PAGES for span in _spans(page) if (found := _ROUTE.fullmatch(span))}
    assert len(named) > 20
    known = {re.sub(r"{\w+}", "{}", path) for path in served}
    assert sorted(path for path in named if re.sub(r"{\w+}", "{}", path) not in known) == []
