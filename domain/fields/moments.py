"""Fields that are dates and times (RFC 3339), as reports and exports take them."""

import re
from datetime import UTC, date, datetime
from typing import Any, Final

from domain.fields.characters import stripped
from domain.fields.core import NOT_TEXT, BadValue

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?)?"
)


class _Day:
    """A calendar date; never a number, from whatever epoch."""

    schema: Final[dict[str, Any]] = {"type": "string", "format": "date"}

    def parse(self, given: object) -> date:
        """The date. Raises BadValue."""
        text = _text(given)
        try:
            if _DAY.fullmatch(text) is not None:
                return date.fromisoformat(text)
        except ValueError:
            pass
        raise BadValue("not_day", "This is not a date such as 2026-11-28.")


class _Moment:
    """A date and time. A date alone means its beginning, and a time without an offset is in UTC."""

    schema: Final[dict[str, Any]] = {
        "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]
    }

    def parse(self, given: object) -> datetime:
        """The time, in UTC. Raises BadValue."""
        text = _text(given)
        try:
            if _MOMENT.fullmatch(text) is not None:
                moment = datetime.fromisoformat(text.upper())
                moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
                return moment.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        raise BadValue("not_moment", "This is not a time such as 2026-11-28T12:30:00Z.")


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise BadValue(*NOT_TEXT)
    return stripped(given)


DAY: Final = _Day()
MOMENT: Final = _Moment()
