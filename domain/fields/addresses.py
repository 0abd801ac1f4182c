"""Fields of postal addresses. Formats differ from country to country, so only the country is validated as a code."""

import re
from typing import Final

from domain.fields.characters import check_unicode, one_line, shows_something, stripped
from domain.fields.core import Text
from domain.limits import ADDRESS_LINE_MAX_CHARS, POSTAL_CODE_MAX_CHARS, REGION_MAX_CHARS

_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_REGION: Final = re.compile(rf"[A-Z0-9]{{0,{REGION_MAX_CHARS}}}")


def _code(text: str) -> str:
    check_unicode(text)
    text = stripped(text)
    return text.upper() if text.isascii() else text


COUNTRY: Final = Text(
    "A country",
    least=2,
    most=2,
    spelling=_code,
    fits=lambda text: _COUNTRY.fullmatch(text) is not None,
    code="not_country",
    demand="This is not a country code: two letters (ISO 3166-1).",
    examples=["GB"],
)
REGION: Final = Text(
    "A region",
    least=0,
    most=REGION_MAX_CHARS,
    spelling=_code,
    fits=lambda text: _REGION.fullmatch(text) is not None,
    code="not_region",
    demand="This is not a region's code: the part of ISO 3166-2 after the country's.",
    examples=["ENG"],
)
POSTAL_CODE: Final = Text(
    "A postal code", least=0, most=POSTAL_CODE_MAX_CHARS, spelling=one_line, examples=["SW1A 1AA"]
)
ADDRESS_LINE: Final = Text(
    "A line of an address",
    most=ADDRESS_LINE_MAX_CHARS,
    spelling=one_line,
    fits=shows_something,
    code="nothing_shown",
    demand="This has no visible characters.",
    examples=["1 Harbour Street"],
)
MORE_OF_ADDRESS: Final = Text("A part of an address", least=0, most=ADDRESS_LINE_MAX_CHARS, spelling=one_line)
