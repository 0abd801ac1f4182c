"""Exemplars: for a bucket of a histogram, the id of something that fell into it, to look it up by. OpenMetrics shows
them. The ids are ours, or those that clients gave their requests; they are not labels, so they add no time series. In a
shared folder, each process has a file of its own, which every heartbeat writes.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec
from prometheus_client import Histogram
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from runtime.metrics.folder import EXEMPLARS, Folder
from runtime.metrics.multiprocess import FOLDER

# OpenMetrics allows 128 characters for names and values together.
_VALUE_MAX_CHARS: Final = 64

Bucket: TypeAlias = tuple[str, tuple[tuple[str, str], ...], str]
"""A bucket of a series: the metric's name, its labels, and the upper bound."""


class _Row(msgspec.Struct, array_like=True):
    bucket: Bucket
    labels: dict[str, str]
    value: float
    at: float


_rows: Final[dict[Bucket, _Row]] = {}
_unwritten: Final[set[Bucket]] = set()


def note(histogram: Histogram, value: float, **ids: str) -> None:
    """Notes an exemplar: something with these ids had this value. The value has already been observed."""
    if any(len(each) > _VALUE_MAX_CHARS for each in ids.values()):
        return
    index, at = bisect_left(histogram._upper_bounds, value), time.time()
    histogram._buckets[index].set_exemplar(Exemplar(ids, value, at))  # has no effect with a shared folder
    if FOLDER is not None:
        labels = tuple(sorted(zip(histogram._labelnames, histogram._labelvalues, strict=True)))
        bound = floatToGoString(histogram._upper_bounds[index])  # type: ignore[no-untyped-call]
        bucket = histogram._name, labels, bound
        _rows[bucket] = _Row(bucket, ids, value, at)
        _unwritten.add(bucket)


def write() -> None:
    """Writes what was noted to the shared folder, for the other processes."""
    if FOLDER is not None and _unwritten:
        _unwritten.clear()
        FOLDER.put(EXEMPLARS, msgspec.json.encode(list(_rows.values())))


def read(folder: Folder) -> Mapping[Bucket, Exemplar]:
    """The newest exemplars of all living processes."""
    newest: dict[Bucket, _Row] = {}
    for content in folder.contents(EXEMPLARS):
        try:
            rows = msgspec.json.decode(content, type=list[_Row])
        except msgspec.DecodeError:
            continue  # the file is just being written
        for row in rows:
            if row.bucket not in newest or newest[row.bucket].at < row.at:
                newest[row.bucket] = row
    return {bucket: Exemplar(row.labels, row.value, row.at) for bucket, row in newest.items()}
