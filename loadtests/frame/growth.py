"""Checks of growth over a run: whether it stops once the system has warmed up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from loadtests.frame.verdict import Check, check, skipped

WINDOW_LEAST_SECONDS: Final = 300.0

_MIB: Final = 1_048_576
_HOUR_SECONDS: Final = 3_600


class Sample(NamedTuple):
    """A measured amount, at a moment in seconds."""

    at: float
    value: float


class Bound(NamedTuple):
    """By how many units something may grow per hour. Growth below `noise` within a run is ignored."""

    unit: str
    size: float
    per_hour: float
    noise: float
    because: str


MEMORY: Final = Bound(
    "MiB", _MIB, 32.0, 8.0, "a process that grows by this much and never stops has a gibibyte more in a day and a half"
)
FILES: Final = Bound("open files", 1, 60.0, 12.0, "who loses a file a minute has none left within days")
REDIS: Final = Bound("MiB", _MIB, 32.0, 8.0, "what Redis remembers is forgotten after its time, and bounded")
TABLE: Final = Bound("MiB", _MIB, 16.0, 6.0, "what is done or replaced makes room for what is new")

PER_EVENT_RATIO: Final = 1.5
"""The bound on the growth per event in the second half of a run, as a multiple of that in the first."""


def steady(what: str, samples: Sequence[Sample], bound: Bound) -> Check:
    """Whether an amount is flat in the second half of the run."""
    window = second_half(samples)
    seconds = window[-1].at - window[0].at if window else 0.0
    if seconds < WINDOW_LEAST_SECONDS:
        return _too_short(what, seconds)
    per_second = slope(window) / bound.size
    per_hour = per_second * _HOUR_SECONDS
    return check(
        what,
        per_hour <= bound.per_hour or per_second * seconds <= bound.noise,
        wanted=f"grows by at most {bound.per_hour:g} {bound.unit} an hour",
        measured=f"{per_hour:+,.1f} {bound.unit} an hour, at {window[-1].value / bound.size:,.0f}",
        because=bound.because,
    )


def proportional(what: str, samples: Sequence[Sample], events: Sequence[Sample]) -> Check:
    """Whether something that is kept forever grows no faster than the log: the growth per event in the second half of
    the run is no greater than in the first. Both were sampled at the same moments."""
    half = len(samples) - len(second_half(samples))
    seconds = samples[-1].at - samples[half].at if samples else 0.0
    if seconds < WINDOW_LEAST_SECONDS:
        return _too_short(what, seconds)
    first, second = (_per_event(samples, events, *ends) for ends in ((0, half), (half, len(samples) - 1)))
    grown = (samples[-1].value - samples[half].value) / _MIB
    return check(
        what,
        second <= first * PER_EVENT_RATIO or grown <= TABLE.noise,
        wanted=f"an event takes at most {PER_EVENT_RATIO:g} times what it took at first",
        measured=f"{second:,.0f} bytes an event, {first:,.0f} at first; {samples[-1].value / _MIB:,.0f} MiB",
        because="it holds what is kept, and nothing beside it",
    )


def second_half(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples after the middle of the time, when caches have filled."""
    if not samples:
        return ()
    middle = (samples[0].at + samples[-1].at) / 2
    return [sample for sample in samples if sample.at >= middle]


def slope(samples: Sequence[Sample]) -> float:
    """Units a second, by least squares; 0.0 of fewer than two samples."""
    if len(samples) < 2:
        return 0.0
    mean_at = sum(sample.at for sample in samples) / len(samples)
    mean = sum(sample.value for sample in samples) / len(samples)
    spread = sum((sample.at - mean_at) ** 2 for sample in samples)
    return sum((sample.at - mean_at) * (sample.value - mean) for sample in samples) / spread


def _per_event(samples: Sequence[Sample], events: Sequence[Sample], start: int, end: int) -> float:
    return (samples[end].value - samples[start].value) / max(1.0, events[end].value - events[start].value)


def _too_short(what: str, seconds: float) -> Check:
    return skipped(what, f"watched for {seconds:.0f} s after its first half; {WINDOW_LEAST_SECONDS:.0f} s tell")
