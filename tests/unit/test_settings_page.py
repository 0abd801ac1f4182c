"""The tables of `docs/settings.md`: every setting, under its name, with its default, and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

from pydantic import AliasChoices, SecretStr

from runtime.settings import SECTIONS, Settings
from runtime.settings.page import markdown_tables
from tests import pace

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"

# | `TIDEGATE_MAILBOX_COUNT` | `16` | ... |, or with more names than one: | `TIDEGATE_PORT` or `PORT` | ...
_ROW = re.compile(r"^\| *(`[A-Z_]+`(?: or `[A-Z_]+`)*) *\| *`([^`]*)` *\| *(\S.*?) *\|$", re.MULTILINE)


def rows(markdown: str) -> list[tuple[tuple[str, ...], str, str]]:
    """(environment variables, default, meaning) of each row of a settings table."""
    return [
        (tuple(re.findall("[A-Z_]+", names)), default, meaning) for names, default, meaning in _ROW.findall(markdown)
    ]


def declared() -> list[tuple[tuple[str, ...], str, str]]:
    """The same, of the settings themselves."""
    found = []
    for section in SECTIONS:
        for name, field in section.model_fields.items():
            alias = field.validation_alias
            names = alias.choices if isinstance(alias, AliasChoices) else [f"TIDEGATE_{name}"]
            default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
            found.append((tuple(str(each).upper() for each in names), str(default), str(field.description)))
    return found


def test_every_setting_is_in_exactly_one_section() -> None:
    names = [name for section in SECTIONS for name in section.model_fields]
    assert len(names) == len(set(names))
    assert set(names) == set(Settings.model_fields)


def test_the_page_ends_with_every_setting_and_its_default() -> None:
    """After a change, `make settings` writes the tables anew."""
    page = PAGE.read_text(encoding="utf-8")
    assert rows(page) == declared()
    assert page.endswith(f"\n\n{markdown_tables()}")


def test_the_tables_are_printed() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "runtime.settings"], capture_output=True, text=True, check=True, timeout=pace.seconds(30)
    )
    assert printed.stdout == markdown_tables()
    assert rows(printed.stdout) == declared()


def test_each_row_is_one_line_of_three_cells() -> None:
    lines = [line for line in markdown_tables().splitlines() if line.startswith("|")]
    assert all(line.count("|") == 4 for line in lines)
    assert len(lines) == len(Settings.model_fields) + 2 * len(SECTIONS)
