"""A verdict as a table to read, as JSON, and as JUnit XML for build servers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadtests.frame.verdict import FAILED, PASSED, SKIPPED, Verdict

_WIDTH: Final = 150
_STYLES: Final = {PASSED: "green", FAILED: "bold red", SKIPPED: "yellow"}

# XML 1.0 has no way to write these, not even escaped.
_NOT_IN_XML: Final = dict.fromkeys(
    [*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0xFFFE, 0xFFFF], "\N{REPLACEMENT CHARACTER}"
)


def table(verdict: Verdict, *, colour: bool = False) -> str:
    """The verdict as text."""
    title = f"{verdict.scenario}: {'PASSED' if verdict.passed else 'FAILED'}"
    shown = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("", "what", "wanted", "measured", "because"):
        shown.add_column(column, overflow="fold", no_wrap=not column)
    for each in verdict.checks:
        cells = (each.name, each.wanted, each.measured, each.because)
        shown.add_row(Text(each.outcome, _STYLES[each.outcome]), *map(Text, cells))
    told = io.StringIO()
    console = Console(file=told, width=_WIDTH, force_terminal=colour, no_color=not colour)
    console.print(shown)
    console.print(_rows(verdict))
    for name, count in verdict.figures.items():
        console.print(Text(f"{name}: {count:,}"))
    return told.getvalue()


def _rows(verdict: Verdict) -> Table:
    """The rows that are timed from the intended start (OPEN) beside those timed from the send."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    shown.add_column("timed", overflow="fold")
    for column in ("requests", "failures", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms"):
        shown.add_column(column, justify="right")
    for each in verdict.rows:
        numbers = (each.requests, each.failures, each.p50_ms, each.p95_ms, each.p99_ms, each.p999_ms)
        shown.add_row(Text(each.row), *(f"{number:,}" for number in numbers))
    return shown


def junit(verdict: Verdict) -> bytes:
    """The verdict as a JUnit test suite, a case for each check."""
    failures = sum(each.outcome == FAILED for each in verdict.checks)
    skips = sum(each.outcome == SKIPPED for each in verdict.checks)
    suite = ET.Element(
        "testsuite",
        name=f"load.{verdict.scenario}",
        tests=str(len(verdict.checks)),
        failures=str(failures),
        errors="0",
        skipped=str(skips),
    )
    for each in verdict.checks:
        case = ET.SubElement(suite, "testcase", classname=suite.attrib["name"], name=_xml(each.name), time="0")
        text = _xml(f"wanted {each.wanted}, measured {each.measured}: {each.because}")
        if each.outcome == FAILED:
            ET.SubElement(case, "failure", message=_xml(f"wanted {each.wanted}, measured {each.measured}")).text = text
        elif each.outcome == SKIPPED:
            ET.SubElement(case, "skipped", message=_xml(each.measured))
        else:
            ET.SubElement(case, "system-out").text = text
    buffer = io.BytesIO()
    ET.ElementTree(suite).write(buffer, encoding="utf-8", xml_declaration=True)
    return buffer.getvalue()


def write(verdict: Verdict, folder: Path) -> None:
    """Writes `verdict.json` and `junit.xml` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {"passed": verdict.passed, **msgspec.to_builtins(verdict)}
    (folder / "verdict.json").write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    (folder / "junit.xml").write_bytes(junit(verdict))


def _xml(text: str) -> str:
    return text.translate(_NOT_IN_XML)
