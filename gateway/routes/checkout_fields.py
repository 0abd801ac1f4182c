"""What buyers set in a checkout, as they send it, and as the command says it."""

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from fastapi import Request
from pydantic import Field

from domain.addresses import Address
from domain.limits import CHECKOUT_MAX_CODES, CHECKOUT_MAX_GIFT_CARDS, ORDER_MAX_LINES
from domain.model import Wanted
from gateway.edge import Edge
from gateway.routes.cards import usable_cards
from gateway.routes.orders import LineBody
from gateway.views import checkouts
from gateway.web.fields import (
    AddressLine,
    CheckoutNote,
    Country,
    Currency,
    EmailAddress,
    GiftCardCode,
    MoreOfAddress,
    PostalCode,
    PromotionCode,
    Region,
    personal,
)
from gateway.web.problems import invalid_request
from gateway.web.requests import Body
from runtime.gift_card_codes import hash_of_typed

REFUSED_CODES: Final = ("gift_card_not_usable", "too_many_attempts")
"""What naming gift cards and promotions by their codes may be refused with."""


class AddressBody(Body):
    """A postal address. Leave out what a country does not use."""

    name: AddressLine = Field(description="Who is there.", examples=["Ada Lovelace"])
    line1: AddressLine = Field(description="Street and number.")
    line2: MoreOfAddress = Field("", description="The second line of the address.")
    city: AddressLine = Field(description="Town.", examples=["London"])
    region: Region = ""
    postal_code: PostalCode = ""
    country: Country


class CheckoutBody(Body):
    """Fields of a checkout, in any order and at any time. Lines with the same SKU are added up. Fields left out
    stay as they are; null clears a field."""

    currency: Currency | None = Field(None, examples=["GBP"])
    lines: list[LineBody] | None = Field(None, max_length=ORDER_MAX_LINES)
    email: EmailAddress | None = Field(None, examples=["guest@example.com"])
    address: AddressBody | None = None
    billing_address: AddressBody | None = None
    method_id: UUID | None = None
    codes: list[PromotionCode] | None = Field(None, max_length=CHECKOUT_MAX_CODES)
    gift_cards: list[GiftCardCode] | None = Field(None, max_length=CHECKOUT_MAX_GIFT_CARDS)
    use_store_credit: bool | None = None
    note: CheckoutNote | None = None


async def fields_of(edge: Edge, request: Request, body: CheckoutBody) -> dict[str, Any]:
    """The fields of the command that sets what the body says. Codes of gift cards are known here and nowhere else: what
    they open goes on. Those of promotions go on as they are; who tries too many that there are not has to wait, and
    what may be the code of a gift card is refused."""
    given = {name: getattr(body, name) for name in body.model_fields_set & CheckoutBody.model_fields.keys()}
    for empty in ("lines", "codes", "gift_cards"):
        if empty in given and given[empty] is None:
            given[empty] = []
    if "use_store_credit" in given:
        given["store_credit"] = bool(given.pop("use_store_credit"))
    if given.get("gift_cards"):
        given["gift_cards"] = [card.id for card in await usable_cards(edge, request, given["gift_cards"])]
    if given.get("codes"):
        async with edge.engine.connect() as connection:
            known = await checkouts.known_codes(connection, given["codes"])
        await edge.throttle.promotion_codes(request.scope, known=all(map(known.get, given["codes"])))
        _refuse_cards(code for code in given["codes"] if code not in known)
    fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if lines := fields.get("lines"):
        quantities: dict[str, int] = {}
        for line in lines:
            quantities[line.sku] = quantities.get(line.sku, 0) + line.quantity
        fields["lines"] = [Wanted(sku, quantity) for sku, quantity in quantities.items()]
    for several in fields.keys() & {"lines", "codes", "gift_cards"}:
        fields[several] = tuple(fields[several])
    for private in fields.keys() & {"email", "note"}:
        fields[private] = personal(fields[private])
    for address in fields.keys() & {"address", "billing_address"}:
        fields[address] = Address(**fields[address].model_dump()).sealed()
    return {**fields, "cleared": tuple(name for name, value in given.items() if value is None)}


def _refuse_cards(unknown: Iterable[str]) -> None:
    """Codes of promotions are kept and shown, unknown ones too; the code of a gift card must not be. Raises a 422
    Problem if one of these might be that of a gift card, whether or not there is one."""
    if any(map(hash_of_typed, unknown)):
        said = "One of these is the code of no promotion. If it is that of a gift card, send it in gift_cards."
        raise invalid_request([{"loc": ("codes",), "msg": said, "type": "gift_card_code"}])
