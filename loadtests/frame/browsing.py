"""Browsing the shop: lists, searches and products, requested as browsers do: a page seen before is requested with its
ETag."""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import Any, Final

from loadtests.frame.baskets import articles
from loadtests.frame.scenario import Outcome
from loadtests.frame.shoppers import Shopper
from loadtests.frame.verdict import Check, Row, check
from ops.articles import slug_of

PRODUCTS: Final = "/api/v1/products"
LIST: Final = Row("GET", f"{PRODUCTS}, a page")
SEARCH: Final = Row("GET", f"{PRODUCTS}, a search")
PRODUCT: Final = Row("GET", f"{PRODUCTS}/{{slug}}")

_WRONG: Final = "pages that showed something else"

_PAGE: Final = 24
_TAGS_MAX: Final = 500
_PAGES_SEEN: Final = 20  # most people leave before

_tags: OrderedDict[str, str] = OrderedDict()


def look_around(visitor: Shopper) -> None:
    """Requests one page, chosen like a typical visitor's next one."""
    chosen = random.random()
    if chosen < 0.5:
        _page(visitor)
    elif chosen < 0.7:
        _search(visitor)
    else:
        _product(visitor)


def pages_are_right(outcome: Outcome) -> Check:
    """Whether every page was the requested one."""
    wrong = outcome.tallies[_WRONG]
    return check(
        "every page shows what was asked for",
        not wrong,
        wanted="0 that do not",
        measured=f"{wrong:,}",
        because="a cache must not answer one question with another's page",
    )


def _page(visitor: Shopper) -> None:
    page = min(int(random.expovariate(0.5)) + 1, _PAGES_SEEN)
    said = _get(visitor, f"{PRODUCTS}?limit={_PAGE}&page={page}&sort=name", LIST)
    if said is not None and len(said["items"]) != _PAGE:
        visitor.run_.tally(_WRONG)


def _search(visitor: Shopper) -> None:
    word = random.choice(random.choice(articles()).name.split()).lower()
    said = _get(visitor, f"{PRODUCTS}?limit={_PAGE}&q={_plain(word)}", SEARCH)
    if said is not None and not said["items"] and word == _plain(word):  # a name has it as it is
        visitor.run_.tally(_WRONG)


def _product(visitor: Shopper) -> None:
    slug = slug_of(random.choice(articles()).sku)
    said = _get(visitor, f"{PRODUCTS}/{slug}", PRODUCT)
    if said is not None and said["slug"] != slug:
        visitor.run_.tally(_WRONG)


def _get(visitor: Shopper, path: str, row: Row) -> dict[str, Any] | None:
    """The answer's JSON; None if it has not changed since it was last seen, or if the request failed."""
    headers = {"If-None-Match": tag} if (tag := _tags.get(path)) else {}
    with visitor.client.get(path, headers=headers, name=row.name, catch_response=True) as answer:
        if answer.status_code == 304 and tag:
            answer.success()
        elif answer.status_code != 200:
            answer.failure(f"{answer.status_code}")
    if answer.status_code != 200 or answer.headers is None:
        return None
    if new := answer.headers.get("ETag"):
        _tags[path] = new
        if len(_tags) > _TAGS_MAX:
            _tags.popitem(last=False)
    said: dict[str, Any] = answer.json()
    return said


def _plain(word: str) -> str:
    return "".join(letter for letter in word if letter.isalnum()) or "white"
