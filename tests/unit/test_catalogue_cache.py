"""The cache of catalogue pages: what it keeps, when it is emptied, and that each page is made once."""

import asyncio
import gzip
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec
import pytest

from gateway.catalogue.cache import CatalogueCache, Page, page_of
from runtime.records import EventRecord
from tests import pace


class Clockwork:
    """A cache whose tail is level with the log as long as the test says so."""

    def __init__(self, *, max_bytes: int = 10**6, level_seconds: float = 5.0) -> None:
        self.level = True
        self.made: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.seq = 7
        self.as_of: list[int] = []
        self.cache = CatalogueCache(
            max_bytes=max_bytes, level_seconds=level_seconds, level_at=self._level_at, log_seq=lambda: self.seq
        )

    def _level_at(self) -> float:
        return time.monotonic() if self.level else 0.0

    def maker(self, text: str) -> Callable[[int], Awaitable[Page]]:
        async def make(seq: int) -> Page:
            self.as_of.append(seq)
            self.made.append(text)
            await self.gate.wait()
            return await page_of(text.encode(), {})

        return make

    async def ask(self, key: str, text: str, *, good_seconds: float = float("inf")) -> str:
        page = await self.cache.get_or_make(key.encode(), self.maker(text), good_seconds=good_seconds)
        return page.plain.body.decode()


def event(event_type: str, seq: int = 1) -> list[EventRecord]:
    return [EventRecord(seq, event_type, "subject", UUID(int=1), "ada", 0, msgspec.Raw(b"{}"))]


async def test_a_page_is_made_once_and_kept() -> None:
    works = Clockwork()
    assert [await works.ask("a", text) for text in ("first", "second")] == ["first", "first"]
    assert works.cache.get(b"a") is not None
    assert works.cache.get(b"b") is None


async def test_other_forms_of_a_query_find_the_same_page() -> None:
    works = Clockwork()
    await works.ask("a", "page")
    works.cache.spell(b"A", b"a")
    works.cache.spell(b"x" * 5_000, b"a")
    assert works.cache.get(b"A") is works.cache.get(b"a")
    assert works.cache.get(b"x" * 5_000) is None
    works.cache.empty()
    assert works.cache.get(b"A") is None


@pytest.mark.parametrize("event_type", ["product.created", "product.variant_changed", "category.changed"])
async def test_an_event_of_the_catalogue_empties_the_cache(event_type: str) -> None:
    works = Clockwork()
    await works.ask("a", "old")
    works.cache.take([*event("order.placed"), *event(event_type)])
    assert works.cache.get(b"a") is None
    assert await works.ask("a", "new") == "new"


@pytest.mark.parametrize("event_type", ["order.placed", "stock.received", "product.unchanged", "category.unchanged"])
async def test_other_events_do_not_empty_the_cache(event_type: str) -> None:
    works = Clockwork()
    await works.ask("a", "page")
    works.cache.take(event(event_type))
    assert works.cache.get(b"a") is not None


async def test_under_many_events_it_is_emptied_now_and_then() -> None:
    works = Clockwork()
    works.cache.take(event("product.created"))
    await works.ask("a", "old")
    works.cache.take(event("product.changed"))
    works.cache.take(event("product.changed"))
    assert works.cache.get(b"a") is not None, "it was emptied only just now"
    async with pace.timeout(5):
        while works.cache.get(b"a") is not None:
            await asyncio.sleep(0.01)


async def test_no_page_is_served_from_the_cache_unless_the_tail_is_caught_up() -> None:
    works = Clockwork(level_seconds=0.0)
    await works.ask("a", "old")
    works.level = False
    assert works.cache.get(b"a") is None
    assert await works.ask("a", "new") == "new"
    works.level = True
    assert await works.ask("a", "newer") == "new"


async def test_a_page_just_read_is_served_whether_or_not_the_tail_is_caught_up() -> None:
    works = Clockwork()
    works.level = False
    assert [await works.ask("a", text) for text in ("first", "second")] == ["first", "first"]


async def test_a_page_read_before_the_tail_follows_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    works = Clockwork()
    monkeypatch.setattr(works.cache, "_level_at", lambda: float("-inf"))
    assert [await works.ask("a", text) for text in ("first", "second")] == ["first", "second"]


async def test_a_page_that_is_valid_for_a_limited_time() -> None:
    works = Clockwork()
    await works.ask("a", "old", good_seconds=0.0)
    assert await works.ask("a", "new") == "new"


async def test_concurrent_requests_for_the_same_page_share_one_query() -> None:
    works = Clockwork()
    works.gate.clear()
    asking = [asyncio.create_task(works.ask("a", "page")) for _ in range(50)]
    other = asyncio.create_task(works.ask("b", "other"))
    while len(works.made) < 2:
        await asyncio.sleep(0)
    asking[0].cancel()  # the first request may be cancelled before the page is there
    works.gate.set()
    assert list(await asyncio.gather(*asking[1:], other)) == ["page"] * 49 + ["other"]
    assert works.made == ["page", "other"]


async def test_a_page_in_progress_during_a_change_is_not_kept() -> None:
    works = Clockwork()
    works.gate.clear()
    early = asyncio.create_task(works.ask("a", "old"))
    while not works.made:
        await asyncio.sleep(0)
    works.cache.take(event("product.changed"))
    late = asyncio.create_task(works.ask("a", "new"))
    while len(works.made) < 2:
        await asyncio.sleep(0)
    works.gate.set()
    assert list(await asyncio.gather(early, late)) == ["old", "new"]
    assert await works.ask("a", "newer") == "new"


async def test_a_failure_reaches_all_waiting_requests_and_is_retried() -> None:
    works = Clockwork()

    async def fail(_: int) -> Page:
        await works.gate.wait()
        raise OSError("away")

    works.gate.clear()
    asking = [asyncio.create_task(works.cache.get_or_make(b"a", fail)) for _ in range(3)]
    asyncio.get_running_loop().call_soon(works.gate.set)
    assert [type(error) for error in await asyncio.gather(*asking, return_exceptions=True)] == [OSError] * 3
    assert await works.ask("a", "page") == "page"


async def test_the_least_recently_used_page_is_evicted_first() -> None:
    works = Clockwork(max_bytes=10_000)
    for key in "abc":
        await works.ask(key, key * 500)
    works.cache.get(b"a")
    for key in "de":
        await works.ask(key, key * 500)
    assert {key for key in "abcde" if works.cache.get(key.encode())} == {"a", "d", "e"}
    await works.ask("f", "f" * 20_000)
    assert works.cache.get(b"f") is None, "more than all that may be kept"


async def test_a_page_is_served_plain_compressed_or_as_not_modified() -> None:
    page = await page_of(b'{"items":[]}', {"X-Total-Count": "0"})
    plain = page.answer(if_none_match=None, takes_gzip=False)
    assert (plain.status, plain.body, dict(plain.headers)[b"x-total-count"]) == (200, b'{"items":[]}', b"0")
    zipped = page.answer(if_none_match=b'W/"other"', takes_gzip=True)
    assert gzip.decompress(zipped.body) == plain.body
    assert dict(zipped.headers)[b"content-encoding"] == b"gzip"
    spared = page.answer(if_none_match=page.tag.encode(), takes_gzip=True)
    assert (spared.status, spared.body) == (304, b"")
    for ready in (plain, zipped, spared):
        assert dict(ready.headers)[b"etag"] == page.tag.encode()
        assert dict(ready.headers)[b"vary"] == b"Accept-Encoding"
    large = b"x" * 100_000
    assert gzip.decompress((await page_of(large, {})).gzipped.body) == large


async def test_a_page_evicted_before_it_is_begun_is_answered_all_the_same() -> None:
    works = Clockwork()
    asking = asyncio.create_task(works.ask("a", "page"))
    await asyncio.sleep(0)
    assert works.made == []
    works.cache.empty()
    assert await asking == "page"
    assert works.cache.get(b"a") is None


async def test_a_page_is_read_as_of_the_last_change_of_the_catalogue() -> None:
    """A replica that lags would show an older state, and the cache would keep it."""
    works = Clockwork()

    async def as_of() -> int:
        works.cache.empty()
        await works.ask("a", "page")
        return works.as_of[-1]

    assert await as_of() == 7  # no change is known yet: it may have been the last event
    works.seq = 20
    works.cache.take([*event("product.changed", 18), *event("order.placed", 19), *event("order.placed", 20)])
    assert await as_of() == 18
    works.cache.take(event("product.unchanged", 21))
    assert await as_of() == 18
    works.cache.change(25)
    assert await as_of() == 25
    works.cache.take(event("category.changed", 22))
    assert await as_of() == 25
    works.seq = 5
    works.cache.restart()
    assert await as_of() == 5
