"""The shop's terms: the number of parts and the size of each are bounded."""

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import msgspec
import pytest

from domain import terms
from domain.model import Actor, Context, Rejection, Shop, decide, evolve
from domain.quote.terms.deliveries import Method
from domain.quote.terms.limits import PurchaseLimit
from domain.quote.terms.prices import PriceList
from domain.quote.terms.promotions import Code, Promotion
from domain.quote.terms.taxes import Taxes
from domain.terms import METHOD, StateTerms, part_name
from tests.quotes import AT

_ADMIN: Final = Context(Actor.in_role("root", "admin"), AT)


def _stated(shop: Shop, number: int, *, back: bool = False) -> str:
    """States a method, or takes it back; returns the code of the refusal, or nothing."""
    method_id = UUID(int=number)
    method = None if back else Method(method_id, "Post")
    decision = decide(shop, StateTerms(part_name(METHOD, method_id), method=method), _ADMIN)
    if isinstance(decision, Rejection):
        return decision.code
    for event in decision:
        evolve(shop, event)
    return ""


def test_parts_that_were_taken_back_do_not_count_but_their_names_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms, "TERMS_MAX_PARTS", 2)
    monkeypatch.setattr(terms, "TERMS_MAX_NAMES", 4)
    shop = Shop()
    assert [_stated(shop, number) for number in (1, 2, 3, 1)] == ["", "", "too_many_terms", ""]
    assert [_stated(shop, 1, back=True), _stated(shop, 3), _stated(shop, 1)] == ["", "", "too_many_terms"]
    assert [_stated(shop, 2, back=True), _stated(shop, 4), _stated(shop, 4, back=True)] == ["", "", ""]
    assert [_stated(shop, 5), _stated(shop, 1)] == ["too_many_terms", ""]


def test_terms_that_do_not_exist_cannot_be_taken_back() -> None:
    shop = Shop()
    assert _stated(shop, 1, back=True) == "terms_not_found"
    assert [_stated(shop, 1), _stated(shop, 1, back=True), _stated(shop, 1, back=True)] == ["", "", "terms_not_found"]


def _collections(found: Any, path: str) -> Iterator[tuple[str, int | None]]:
    """Every list, set and mapping in a type, with the most that it may hold."""
    kind = msgspec.inspect
    match found:
        case kind.Metadata():
            yield from _collections(found.type, path)
        case kind.UnionType():
            for each in found.types:
                yield from _collections(each, path)
        case kind.StructType():
            for field in found.fields:
                yield from _collections(field.type, f"{path}.{found.cls.__name__}.{field.name}")
        case kind.DictType():
            yield path, found.max_length
            yield from _collections(found.value_type, path)
        case kind.VarTupleType() | kind.FrozenSetType() | kind.SetType() | kind.ListType():
            yield path, found.max_length
            yield from _collections(found.item_type, path)


@pytest.mark.parametrize("part", [Taxes, Method, Promotion, PriceList, PurchaseLimit, Code])
def test_every_list_and_set_in_a_part_is_bounded(part: type[msgspec.Struct]) -> None:
    assert [path for path, most in _collections(msgspec.inspect.type_info(part), "") if most is None] == []
