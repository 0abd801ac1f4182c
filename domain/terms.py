"""The shop's terms: its taxes, deliveries, promotions, price lists and purchase limits. Admins state them, part by
part; `domain/quote/terms` defines what the parts mean. All parts belong to one mailbox, so that their number stays
bounded, and share one guard, so that an order is always placed on the terms that are current at its place in the log.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Final
from uuid import UUID

import msgspec

from domain.ids import slot_of_key
from domain.limits import TERMS_MAX_NAMES, TERMS_MAX_PARTS
from domain.model import Command, Context, Decision, Entity, Event, Rejection, Shop, decides, evolves
from domain.quote.terms import NO_TERMS, Terms
from domain.quote.terms.deliveries import Method
from domain.quote.terms.limits import PurchaseLimit
from domain.quote.terms.prices import PriceList
from domain.quote.terms.promotions import Promotion
from domain.quote.terms.taxes import Taxes

TAXES: Final = "taxes"
METHOD: Final = "method"
PROMOTION: Final = "promotion"
PRICE_LIST: Final = "price_list"
PURCHASE_LIMIT: Final = "purchase_limit"
KINDS: Final = (TAXES, METHOD, PROMOTION, PRICE_LIST, PURCHASE_LIMIT)
"""The kinds of parts. There is one of TAXES, and any number of the others, each with an id."""


def terms_slot() -> int:
    """All parts share one mailbox."""
    return slot_of_key("terms")


def says_anything(said: "TermsPart | StateTerms") -> bool:
    """Whether a part has content; False if it is withdrawn."""
    return any(getattr(said, kind) is not None for kind in KINDS)


def part_name(kind: str, part_id: UUID | None = None) -> str:
    """The name of a part: its kind, and its id if there are several of a kind."""
    return kind if part_id is None else f"{kind}/{part_id}"


class TermsPart(Entity, frozen=True):
    """One part. Its content is in the field of its kind; if it was withdrawn, all of these are None. `version` counts
    its changes."""

    name: str
    taxes: Taxes | None
    method: Method | None
    promotion: Promotion | None
    price_list: PriceList | None
    purchase_limit: PurchaseLimit | None
    version: int

    def slot(self) -> int:
        return terms_slot()

    @property
    def stands(self) -> bool:
        """Whether it has content, so was not withdrawn."""
        return says_anything(self)


class StateTerms(Command, frozen=True):
    """Replaces a part, or withdraws it if the command has no content."""

    name: str
    taxes: Taxes | None = None
    method: Method | None = None
    promotion: Promotion | None = None
    price_list: PriceList | None = None
    purchase_limit: PurchaseLimit | None = None

    def __post_init__(self) -> None:
        kind, _, part_id = self.name.partition("/")
        said = [name for name in KINDS if getattr(self, name) is not None]
        if kind not in KINDS or said not in ([], [kind]):
            raise ValueError("a part says what its kind says, and nothing else")
        if (kind == TAXES) != (part_id == ""):
            raise ValueError("every part but the taxes has an id")
        if said and part_id and str(getattr(self, kind).id) != part_id:
            raise ValueError("a part has the id that its name says")

    def slot(self) -> int:
        return terms_slot()


class TermsStated(Event, frozen=True):
    """The part as it stands now; it says nothing if it was taken back."""

    type: ClassVar[str] = "terms.stated"
    name: str
    taxes: Taxes | None
    method: Method | None
    promotion: Promotion | None
    price_list: PriceList | None
    purchase_limit: PurchaseLimit | None
    version: int

    def subject(self) -> str:
        return self.name


@decides(StateTerms)
def _state(shop: Shop, command: StateTerms, context: Context) -> Decision:
    parts = shop.of(TermsPart)
    known = parts.get(command.name)
    if not says_anything(command):
        if known is None or not known.stands:
            return Rejection("terms_not_found", "There is no such part of the terms.", {"name": command.name})
    elif known is None or not known.stands:
        if sum(part.stands for part in parts.values()) >= TERMS_MAX_PARTS:
            detail = f"There are at most {TERMS_MAX_PARTS} parts."
            return Rejection("too_many_terms", detail, {"limit": TERMS_MAX_PARTS})
        if known is None and len(parts) >= TERMS_MAX_NAMES:
            detail = f"There were {TERMS_MAX_NAMES} parts already, counting those taken back: reuse a name."
            return Rejection("too_many_terms", detail, {"limit": TERMS_MAX_NAMES})
    version = 1 if known is None else known.version + 1
    promotion = command.promotion
    if promotion is not None:
        promotion = msgspec.structs.replace(promotion, version=version)
    stated = TermsStated(
        command.name, command.taxes, command.method, promotion, command.price_list, command.purchase_limit, version
    )
    return (stated,)


@evolves(TermsStated)
def _stated(shop: Shop, event: TermsStated) -> None:
    part = TermsPart(*msgspec.structs.astuple(event))
    shop.of(TermsPart)[event.name] = part
    shop.of(Terms)[NOW] = with_part(terms_of(shop), part)


NOW: Final = ""
"""The key of the terms in a shop's state."""


def terms_of(shop: Shop) -> Terms:
    """The shop's terms, as far as they are loaded."""
    return shop.of(Terms).get(NOW, NO_TERMS)


def terms_from(parts: Iterable[TermsPart]) -> Terms:
    """The terms that consist of these parts, which may be in any order."""
    said: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for part in parts:
        kind = part.name.partition("/")[0]
        if (found := getattr(part, kind)) is not None:
            said[kind].append(found)
    return Terms(
        price_lists={each.id: each for each in said[PRICE_LIST]},
        promotions=_in_order(said[PROMOTION]),
        taxes=next(iter(said[TAXES]), None),
        methods=_in_order(said[METHOD]),
        purchase_limits=_in_order(said[PURCHASE_LIMIT]),
    )


def with_part(terms: Terms, part: TermsPart) -> Terms:
    """The terms with this part replacing its previous version."""
    kind, _, said_id = part.name.partition("/")
    if kind == TAXES:
        return msgspec.structs.replace(terms, taxes=part.taxes)
    field, part_id, said = f"{kind}s", UUID(said_id), getattr(part, kind)
    if kind == PRICE_LIST:
        lists = {key: value for key, value in terms.price_lists.items() if key != part_id}
        return msgspec.structs.replace(terms, price_lists=lists if said is None else {**lists, part_id: said})
    others: list[Any] = [other for other in getattr(terms, field) if other.id != part_id]
    now = _in_order([*others, *([] if said is None else [said])])
    return msgspec.structs.replace(terms, **{field: now})


def _in_order(parts: Iterable[Any]) -> tuple[Any, ...]:
    """The parts sorted by id: their order breaks ties, so it must be deterministic."""
    return tuple(sorted(parts, key=lambda each: each.id))
