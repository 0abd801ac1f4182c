"""Fields of webhooks."""

from typing import Final

from domain.fields.characters import check_unicode, lines, stripped
from domain.fields.core import Text
from domain.limits import WEBHOOK_DESCRIPTION_MAX_CHARS, WEBHOOK_URL_MAX_CHARS
from domain.urls import URL_PATTERN, host_of


def _address(text: str) -> str:
    check_unicode(text)
    return stripped(text)


URL: Final = Text(
    "A URL",
    most=WEBHOOK_URL_MAX_CHARS,
    spelling=_address,
    fits=lambda text: host_of(text) is not None,
    code="not_url",
    demand="This is not a plain HTTP or HTTPS URL.",
    format="uri",
    pattern=URL_PATTERN,
    examples=["https://shop.example/tidegate"],
)
ENDPOINT_DESCRIPTION: Final = Text("A description", least=0, most=WEBHOOK_DESCRIPTION_MAX_CHARS, spelling=lines)
