"""Logging: one line per record on standard error, as text or as JSON. Every line carries the ids of what it is about,
as far as they are known: the request, the trace, the command, the order, the task. They come from the surrounding code
(`about`, `note`), so that messages need not repeat them.
"""

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

import msgspec

from runtime import tracing

_HUMAN: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_ACCESS_ARGUMENTS: Final = 5  # client, method, path and query, version, status
_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})

_about: ContextVar[Mapping[str, object]] = ContextVar("about", default=_NOTHING)


@contextmanager
def about(**ids: object) -> Iterator[None]:
    """Adds these ids to every line that is logged inside. They become text only when a line is written."""
    token = _about.set({**_about.get(), **ids})
    try:
        yield
    finally:
        _about.reset(token)


def note(**ids: object) -> None:
    """Adds these ids to every line of the rest of this asyncio task, and of the tasks that it starts from here on."""
    _about.set({**_about.get(), **ids})


def ids() -> dict[str, object]:
    """The ids that a line logged here would carry."""
    return tracing.ids() | {name: _plain(value) for name, value in _about.get().items() if value is not None}


def _plain(value: object) -> object:
    return value if isinstance(value, int) else value.decode() if isinstance(value, bytes) else str(value)


class _TextFormatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        said = " ".join(f"{name}={value}" for name, value in ids().items())
        line = super().formatMessage(record)
        return f"{line} [{said}]" if said else line


class _JsonFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{record.msecs:03.0f}Z",
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
            **ids(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def _without_people(record: logging.LogRecord) -> bool:
    """Removes the client's address and the query from a line of uvicorn's access log: both may be personal data."""
    if isinstance(record.args, tuple) and len(record.args) == _ACCESS_ARGUMENTS:
        _, method, path, *rest = record.args
        record.args = ("-", method, str(path).partition("?")[0], *rest)
    return True


def configure(level: str, *, as_json: bool) -> None:
    """Sends all logging of this process to standard error in our format, including uvicorn's."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if as_json else _TextFormatter(_HUMAN))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for theirs in ("uvicorn", "uvicorn.access"):
        logger = logging.getLogger(theirs)
        if logger.handlers:  # one without handlers is meant to be silent (`--no-access-log`)
            logger.handlers.clear()
            logger.propagate = True
    access = logging.getLogger("uvicorn.access")
    if _without_people not in access.filters:
        access.addFilter(_without_people)
    for noisy in ("taskiq", "uvicorn.error", "apscheduler", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.getLevelName(level), logging.WARNING))
