"""Rendered pages of the catalogue, cached in this gateway process while they are current. An event about a product or a
category empties the cache, so a new price is visible as soon as the tail has it. A page that was read longer than
`level_seconds` ago is served only if the tail has caught up with the log since, so a process that is cut off from
Postgres, or misses the feed, does not keep serving old prices. A missing page is rendered once, however many requests
wait for it. Because imports change products continuously, the cache is emptied at most a few times a second.
"""

import asyncio
import gzip
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from math import inf
from typing import Final, NamedTuple

from gateway.web.etags import body_tag, is_known
from runtime.metrics import CATALOGUE_PAGES
from runtime.records import EventRecord

_ABOUT: Final = ("product.", "category.")
_NOTHING_NEW: Final = ".unchanged"
_EMPTY_PAUSE_SECONDS: Final = 0.2
_ENTRY_OVERHEAD_BYTES: Final = 2_000
_SPELLINGS_MAX: Final = 4_096
_SPELLING_MAX_BYTES: Final = 1_000
_GZIP_LEVEL: Final = 5
_GZIP_IN_THREAD_BYTES: Final = 65_536

RawHeaders = tuple[tuple[bytes, bytes], ...]


class Ready(NamedTuple):
    """A response that only has to be sent."""

    status: int
    headers: RawHeaders
    body: bytes


class Page(NamedTuple):
    """A page in the forms that clients ask for; `tag` is its entity tag."""

    tag: str
    plain: Ready
    gzipped: Ready
    not_modified: Ready

    def answer(self, *, if_none_match: bytes | None, takes_gzip: bool) -> Ready:
        """What to send to a client with these headers."""
        if if_none_match is not None and is_known(if_none_match.decode("latin-1"), self.tag):
            return self.not_modified
        return self.gzipped if takes_gzip else self.plain


async def page_of(body: bytes, headers: dict[str, str]) -> Page:
    """The page for a JSON body, with its own headers."""
    tag = body_tag(body)
    if len(body) > _GZIP_IN_THREAD_BYTES:
        zipped = await asyncio.to_thread(gzip.compress, body, _GZIP_LEVEL, mtime=0)
    else:
        zipped = gzip.compress(body, _GZIP_LEVEL, mtime=0)
    always = (
        (b"etag", tag.encode()),
        (b"cache-control", b"no-cache"),  # clients may store it, but must revalidate: prices change
        (b"vary", b"Accept-Encoding"),
        *((name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()),
    )
    json = (b"content-type", b"application/json")
    return Page(
        tag,
        Ready(200, (json, (b"content-length", b"%d" % len(body)), *always), body),
        Ready(200, (json, (b"content-length", b"%d" % len(zipped)), (b"content-encoding", b"gzip"), *always), zipped),
        Ready(304, always, b""),
    )


class _Entry(NamedTuple):
    key: bytes
    page: Page
    read_at: float
    good_until: float

    @property
    def size(self) -> int:
        """Bytes of memory, approximately."""
        return len(self.key) + len(self.page.plain.body) + len(self.page.gzipped.body) + _ENTRY_OVERHEAD_BYTES


class CatalogueCache:
    """Pages by key, least recently used first. `level_at` returns when the tail last had caught up with the log
    (monotonic seconds), and `log_seq` its last seq then."""

    def __init__(
        self, *, max_bytes: int, level_seconds: float, level_at: Callable[[], float], log_seq: Callable[[], int]
    ) -> None:
        self._max_bytes = max_bytes
        self._level_seconds = level_seconds
        self._level_at = level_at
        self._log_seq = log_seq
        self._changed_seq: int | None = None
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._bytes = 0
        self._spellings: dict[bytes, bytes] = {}
        self._making: dict[bytes, asyncio.Task[Page]] = {}
        self._generation = 0
        self._emptied_at = -_EMPTY_PAUSE_SECONDS
        self._emptying: asyncio.TimerHandle | None = None

    def take(self, records: list[EventRecord]) -> None:
        """Takes new events of the log."""
        for record in reversed(records):
            if record.type.startswith(_ABOUT) and not record.type.endswith(_NOTHING_NEW):
                self._note(record.seq)
                self._empty_soon()
                return

    def get(self, key: bytes) -> Page | None:
        """The page, if it is cached and current."""
        entry = self._entries.get(self._spellings.get(key, key))
        if entry is None:
            return None
        now = time.monotonic()
        if now >= entry.good_until or now - max(entry.read_at, self._level_at()) > self._level_seconds:
            return None
        self._entries.move_to_end(entry.key)
        return entry.page

    def spell(self, spelling: bytes, key: bytes) -> None:
        """Makes `get` find the key by this name, too."""
        if spelling != key and len(spelling) <= _SPELLING_MAX_BYTES:
            if len(self._spellings) >= _SPELLINGS_MAX:
                self._spellings.clear()
            self._spellings[spelling] = key

    async def get_or_make(
        self, key: bytes, make: Callable[[int], Awaitable[Page]], *, good_seconds: float = inf
    ) -> Page:
        """The page, rendered now if it is not cached; it is valid for `good_seconds`. `make` is given a seq, and must
        read at that seq or later; what it raises is raised to all requests that wait for the page."""
        page = self.get(key)
        if page is not None:
            return page
        task = self._making.get(key)
        if task is None:
            CATALOGUE_PAGES.inc()
            # In a task of its own, because the first request may be cancelled before the others.
            task = self._making[key] = asyncio.create_task(self._make(key, make, good_seconds, self._generation))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    def change(self, seq: int) -> None:
        """Notes that the event `seq`, which the tail has yet to see, changes the catalogue: pages must show it from now
        on."""
        self._note(seq)
        self.empty()

    def restart(self) -> None:
        """The log was replaced by another one."""
        self._changed_seq = None
        self.empty()

    def empty(self) -> None:
        """Drops every page; pages that are being rendered now are not kept either."""
        self._generation += 1
        self._entries.clear()
        self._spellings.clear()
        self._making.clear()
        self._bytes = 0
        self._emptied_at = time.monotonic()
        if self._emptying is not None:
            self._emptying.cancel()
            self._emptying = None

    def _note(self, seq: int) -> None:
        self._changed_seq = max(seq, self._as_of())

    def _as_of(self) -> int:
        """The seq at which a page must be read: that of the last change known here; before the first one, the log's
        last seq at that time."""
        if self._changed_seq is None:
            self._changed_seq = self._log_seq()
        return self._changed_seq

    def _empty_soon(self) -> None:
        if self._emptying is not None:
            return
        wait = self._emptied_at + _EMPTY_PAUSE_SECONDS - time.monotonic()
        if wait <= 0:
            self.empty()
        else:
            self._emptying = asyncio.get_running_loop().call_later(wait, self.empty)

    async def _make(
        self, key: bytes, make: Callable[[int], Awaitable[Page]], good_seconds: float, generation: int
    ) -> Page:
        """`generation` is that of the request's moment: the cache may have been emptied since."""
        begun = time.monotonic()
        # Before the tail follows the log, changes to what was read go unnoticed.
        followed = self._level_at() > -inf
        try:
            page = await make(self._as_of())
        finally:
            if self._generation == generation:
                del self._making[key]
        if followed and self._generation == generation:
            self._keep(_Entry(key, page, begun, begun + good_seconds))
        return page

    def _keep(self, entry: _Entry) -> None:
        before = self._entries.pop(entry.key, None)
        if before is not None:
            self._bytes -= before.size
        self._entries[entry.key] = entry
        self._bytes += entry.size
        while self._bytes > self._max_bytes:
            _, oldest = self._entries.popitem(last=False)
            self._bytes -= oldest.size
