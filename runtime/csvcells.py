"""Cells of CSV files that people open in spreadsheets: text that would be taken for a formula is written so that it is
text (OWASP, "CSV Injection"), and read back as it was. Numbers of our own need none of it.
"""

import re
from typing import Final

_QUOTE: Final = "'"
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_ESCAPED = re.compile(r"'+[=+\-@\t\r\n]")


def escape_cell(text: str) -> str:
    """The text, behind an apostrophe if a spreadsheet could take it for a formula."""
    return _QUOTE + text if _FORMULA.match(text) else text


def unescape_cell(text: str) -> str:
    """What `escape_cell` made this cell of."""
    return text[1:] if _ESCAPED.match(text) else text
