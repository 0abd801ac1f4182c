"""Calls to external services, timed by their results."""

from __future__ import annotations

from collections.abc import Awaitable
from time import monotonic
from typing import TypeVar

from runtime.metrics import ClosedHistogram
from runtime.outside import OutcomeUnknown, Refused
from workers.failures import Away

_Answer = TypeVar("_Answer")


class Untrue(Exception):
    """A provider's answer cannot be true."""


async def called(seconds: ClosedHistogram, provider: str, operation: str, call: Awaitable[_Answer]) -> _Answer:
    """The provider's answer. Raises Away if the outcome of the call is unknown, and whatever else the call raises.
    `seconds` has the labels provider, operation and result."""
    began, result = monotonic(), None
    try:
        answer = await call
        result = "answered"
    except Refused:
        result = "refused"
        raise
    except OutcomeUnknown as unknown:
        result = "unknown"
        raise Away(str(unknown)) from unknown
    except Exception:
        result = "failed"
        raise
    finally:
        if result is not None:  # it was not broken off
            seconds.labels(provider, operation, result).observe(monotonic() - began)
    return answer
