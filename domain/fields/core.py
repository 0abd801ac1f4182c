"""The kinds of fields (text, one of a few words, a whole number), and why a value is rejected.

`parse` takes a value of any type, and returns it normalized or raises BadValue. `schema` is as much of the field as
JSON Schema can express.
"""

from collections.abc import Callable, Collection
from typing import Any, Final


class BadValue(ValueError):
    """Why a value is rejected: a stable `code`, and a `detail` sentence that fits wherever the value came from."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


MISSING: Final = ("missing", "This is required.")
UNKNOWN: Final = ("unknown_field", "There is no such field.")
NOT_TEXT: Final = ("not_text", "This is not text.")
NOT_WHOLE: Final = ("not_whole_number", "This is not a whole number.")
NOT_OBJECT: Final = ("not_object", "This is not an object.")
NOT_BOOLEAN: Final = ("not_boolean", "This is neither true nor false.")


def too_small(least: int) -> tuple[str, str]:
    """The code and detail for a number below `least`."""
    return "too_small", f"This is less than {least}."


def too_large(most: int) -> tuple[str, str]:
    """The code and detail for a number above `most`."""
    return "too_large", f"This is more than {most}."


def one_of(words: Collection[str]) -> tuple[str, str]:
    """The code and detail for a word that is not one of these."""
    return "not_one_of", f"This is not one of {', '.join(words)}."


def too_few(least: int) -> tuple[str, str]:
    """The code and detail for a list with fewer than `least` items."""
    return "too_few", f"There are fewer than {least}."


def too_many(most: int) -> tuple[str, str]:
    """The code and detail for a list with more than `most` items."""
    return "too_many", f"There are more than {most}."


# No text shrinks by more than this factor when it is normalized, so a longer one is rejected unread.
_SPELLING_FACTOR: Final = 4


class Text:
    """A text field. `called` begins its sentences ("A name"). `spelling` normalizes the text or raises BadValue;
    lengths are in characters of its result. If `fits` then returns false, the text is rejected with `code` and
    `demand`. `schema` is added to the field's JSON Schema."""

    def __init__(
        self,
        called: str,
        *,
        most: int,
        spelling: Callable[[str], str],
        least: int = 1,
        fits: Callable[[str], bool] | None = None,
        code: str = "invalid_value",
        demand: str = "",
        **schema: Any,
    ) -> None:
        self.called = called
        self.least = least
        self.most = most
        self._spelling = spelling
        self._fits = fits
        self._code = code
        self._demand = demand
        self.schema: dict[str, Any] = {"type": "string", "maxLength": most, **schema}
        if least:
            self.schema.setdefault("minLength", least)

    def parse(self, given: object) -> str:
        """The normalized text. Raises BadValue."""
        if not isinstance(given, str):
            raise BadValue(*NOT_TEXT)
        if len(given) > _SPELLING_FACTOR * self.most:
            raise self._too_long()
        text = self._spelling(given)
        if not text and self.least:
            raise BadValue("blank", f"{self.called} is required; this is blank.")
        if len(text) < self.least:
            raise BadValue("too_short", f"{self.called} must have at least {self.least} characters.")
        if len(text) > self.most:
            raise self._too_long()
        if self._fits is not None and not self._fits(text):
            raise BadValue(self._code, self._demand)
        return text

    def keeps(self, text: str) -> bool:
        """Whether the text is valid and already normalized."""
        try:
            return self.parse(text) == text
        except BadValue:
            return False

    def _too_long(self) -> BadValue:
        return BadValue("too_long", f"{self.called} may have at most {self.most} characters.")


class Word:
    """A field that is one of a few words, with or without surrounding white space."""

    def __init__(self, words: Collection[str], *, spelling: Callable[[str], str], said: tuple[str, str] | None = None):
        self.words = words
        self._spelling = spelling
        self._said = said or one_of(words)
        self.schema: dict[str, Any] = {"type": "string", "enum": list(words)}

    def parse(self, given: object) -> str:
        """The word. Raises BadValue."""
        if not isinstance(given, str):
            raise BadValue(*NOT_TEXT)
        word = self._spelling(given)
        if word not in self.words:
            raise BadValue(*self._said)
        return word


class Whole:
    """A field that is a whole number from `least` to `most`."""

    def __init__(self, least: int, most: int) -> None:
        self.least = least
        self.most = most
        self.schema: dict[str, Any] = {"type": "integer", "minimum": least, "maximum": most}

    def parse(self, given: object) -> int:
        """The number. Raises BadValue."""
        if type(given) is not int:
            raise BadValue(*NOT_WHOLE)
        if given < self.least:
            raise BadValue(*too_small(self.least))
        if given > self.most:
            raise BadValue(*too_large(self.most))
        return given
