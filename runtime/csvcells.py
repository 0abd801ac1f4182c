"""Cells of CSV files that people open in spreadsheets: text that would be taken for a formula is escaped (OWASP, "CSV
Injection") and unescaped when read back. Our own numbers do not need this.
"""

import re
from typing import Final

_QUOTE: Final = "'"
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_ESCAPED = re.compile(r"'+[=+\-@\t\r\n]")


def escape_cell(text: str) -> str:
    """The text, prefixed with an apostrophe if a spreadsheet could take it for a formula."""
    return _QUOTE + text if _FORMULA.match(text) else text


def unescape_cell(text: str) -> str:
    """The text from which `escape_cell` made this cell."""
    return text[1:] if _ESCAPED.match(text) else text
