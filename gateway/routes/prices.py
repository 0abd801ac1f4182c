"""The prices of SKUs besides the variants' own: on price lists, and in other currencies. Staff see them, admins put
them; buyers see what they would pay, as the quotes of their checkouts have it."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field, model_validator

from domain.limits import LINE_MAX_QUANTITY, SKU_MAX_PRICES
from domain.model import Price as SkuPrice
from domain.orders import is_guest
from domain.sku_prices import PutPrices
from gateway.apidocs.responses import IF_NONE_MATCH, NOT_MODIFIED, WRITE_HEADERS, headers, problems, read, write
from gateway.edge import edge_of
from gateway.identity.caller import NOBODY_ROLE, Caller
from gateway.identity.requirements import require_role
from gateway.views import buyer_prices
from gateway.views import prices as views
from gateway.views.buyer_prices import BuyerPricesView
from gateway.views.prices import SkuPricesView
from gateway.web import API
from gateway.web.etags import body_tag, conditional
from gateway.web.fields import Country, Currency, Price, Sku
from gateway.web.pages import Page
from gateway.web.problems import Problem
from gateway.web.requests import Body, body_schema, parse, read_body
from gateway.writing.settled import WAIT_SECONDS
from gateway.writing.submit import ask

router = APIRouter(prefix=API, tags=["prices"])

Anybody = Annotated[Caller, Depends(require_role(NOBODY_ROLE))]
Reader = Annotated[Caller, Depends(require_role("staff", "catalogue:read"))]
Writer = Annotated[Caller, Depends(require_role("admin", "catalogue:write"))]

_SKUS_MAX: Final = 50
_OF_SKU: Final = "/products/{product_id}/variants/{sku}/prices"
_OF_LIST: Final = "/terms/price-lists/{price_list_id}/prices"
_OF_BOTH: Final = f"{_OF_LIST}/{{sku}}"


class PriceBody(Body):
    """The price of one piece in a currency."""

    currency: Currency = Field(examples=["EUR"])
    price_minor: Price = Field(examples=[1150])


class ListedPriceBody(PriceBody):
    """The price of one piece in a currency, from a minimum quantity on."""

    min_quantity: int = Field(1, ge=1, le=LINE_MAX_QUANTITY, description="The minimum quantity.")


class PricesBody(Body):
    """A SKU's own prices in currencies other than the variant's; replaces all of them."""

    prices: list[PriceBody] = Field(max_length=SKU_MAX_PRICES, examples=[[{"currency": "EUR", "price_minor": 1150}]])

    @model_validator(mode="after")
    def _once(self) -> "PricesBody":
        if len({price.currency for price in self.prices}) != len(self.prices):
            raise ValueError("One price for each currency.")
        return self


class ListedPricesBody(Body):
    """A SKU's prices on a price list; replaces all of them."""

    prices: list[ListedPriceBody] = Field(
        min_length=1,
        max_length=SKU_MAX_PRICES,
        examples=[
            [{"currency": "GBP", "price_minor": 990}, {"currency": "GBP", "price_minor": 890, "min_quantity": 10}]
        ],
    )

    @model_validator(mode="after")
    def _once(self) -> "ListedPricesBody":
        if len({(price.currency, price.min_quantity) for price in self.prices}) != len(self.prices):
            raise ValueError("One price for each currency and quantity.")
        return self


@router.get(
    "/prices",
    response_model=BuyerPricesView,
    responses={200: headers("ETag"), **NOT_MODIFIED, **problems(401, 403, 422, 503)},
    openapi_extra={"parameters": [IF_NONE_MATCH]},
)
async def list_my_prices(
    request: Request,
    caller: Anybody,
    skus: Annotated[list[Sku], Query(alias="sku", min_length=1, max_length=_SKUS_MAX, description="Repeatable.")],
    currency: Annotated[
        Currency | None,
        Query(description="The currency (ISO 4217); without it, each SKU's own.", examples=["EUR"]),
    ] = None,
    country: Annotated[
        Country | None, Query(description="Where the goods go (ISO 3166-1 alpha-2), if that is known.", examples=["DE"])
    ] = None,
) -> Response:
    """What SKUs cost you, as a quote would have it, before promotions: on price lists that are for you, this moment and
    this country, by how many you take; for customers who pay no tax, without the tax in the price. Pages of products
    show everybody the same price, that of the variant itself; a shop with price lists asks here for what to show beside
    it. Without a token, the answer is the same for everybody, and may be kept."""
    edge, actor = edge_of(request), caller.actor
    known = None if actor.role == NOBODY_ROLE or is_guest(actor.principal) else actor.principal
    async with edge.engine.connect() as connection:
        found = await buyer_prices.find(connection, edge.quoting, known, skus, currency, country)
    body = found.model_dump_json().encode()
    return conditional(request, body, body_tag(body), private=known is not None)


@router.get(_OF_SKU, response_model=SkuPricesView, responses=read("variant_not_found"))
async def list_prices(request: Request, caller: Reader, product_id: UUID, sku: Sku) -> Response:
    """All prices of a variant besides its own: on price lists, and in other currencies. Staff only."""
    async with edge_of(request).engine.connect() as connection:
        if await views.product_of(connection, sku) != product_id:
            raise Problem("variant_not_found", "The product has no such variant.")
        found = await views.of_sku(connection, sku)
    return Response(found.model_dump_json(), media_type="application/json")


@router.get(_OF_LIST, response_model=Page[SkuPricesView], responses=read())
async def list_prices_of_list(
    request: Request,
    caller: Reader,
    price_list_id: UUID,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1)] = 100,
) -> Response:
    """The prices on a price list, by SKU. `limit` is capped at the maximum page size. Staff only."""
    edge = edge_of(request)
    async with edge.engine.connect() as connection:
        page = await views.on_list(connection, price_list_id, cursor, min(limit, edge.config.page_max_rows))
    return Response(page.model_dump_json(), media_type="application/json")


@router.put(
    _OF_SKU,
    response_model=SkuPricesView,
    responses=write("variant_not_found", "too_many_prices"),
    openapi_extra={**body_schema(PricesBody), "parameters": WRITE_HEADERS},
)
async def put_prices(request: Request, caller: Writer, product_id: UUID, sku: Sku) -> Response:
    """Sets a variant's own prices in other currencies; in a currency that is neither there nor its own, it is not
    sold. Admins only. Waits for the outcome by default."""
    body = await read_body(request, edge_of(request).config.body_max_bytes)
    prices = [SkuPrice(price.currency, price.price_minor) for price in parse(PricesBody, body).prices]
    return await _put(request, caller, PutPrices(product_id, sku, None, tuple(prices)), body)


@router.put(
    _OF_BOTH,
    response_model=SkuPricesView,
    responses=write("price_list_not_found", "too_many_prices", "variant_not_found"),
    openapi_extra={**body_schema(ListedPricesBody), "parameters": WRITE_HEADERS},
)
async def put_listed_prices(request: Request, caller: Writer, price_list_id: UUID, sku: Sku) -> Response:
    """Sets a SKU's prices on a price list, by currency and quantity. Admins only. Returns all prices of the SKU.
    Waits for the outcome by default."""
    body = await read_body(request, edge_of(request).config.body_max_bytes)
    prices = [
        SkuPrice(price.currency, price.price_minor, price_list_id, price.min_quantity)
        for price in parse(ListedPricesBody, body).prices
    ]
    product_id = await _product_of(request, sku)
    return await _put(request, caller, PutPrices(product_id, sku, price_list_id, tuple(prices)), body)


@router.delete(_OF_BOTH, status_code=204, response_class=Response, responses=write("variant_not_found"))
async def take_off_list(request: Request, caller: Writer, price_list_id: UUID, sku: Sku) -> Response:
    """Takes a SKU off a price list; if it is not on it, nothing changes. Admins only."""
    command = PutPrices(await _product_of(request, sku), sku, price_list_id, ())
    asked = ask(request, caller.actor, b"", wait_seconds=WAIT_SECONDS)
    accepted = await edge_of(request).submitter.submit(asked, command, sku)
    return accepted.response() if accepted.outcome is None else Response(None, 204, accepted.headers())


async def _product_of(request: Request, sku: str) -> UUID:
    async with edge_of(request).engine.connect() as connection:
        product_id = await views.product_of(connection, sku)
    if product_id is None:
        raise Problem("variant_not_found", "There is no such SKU.")
    return product_id


async def _put(request: Request, caller: Caller, command: PutPrices, body: bytes) -> Response:
    edge = edge_of(request)
    asked = ask(request, caller.actor, body, wait_seconds=WAIT_SECONDS)
    accepted = await edge.submitter.submit(asked, command, command.sku)
    if accepted.outcome is None:
        return accepted.response()
    async with edge.engine.connect() as connection:
        found = await views.of_sku(connection, command.sku)
    return Response(found.model_dump_json(), 200, accepted.headers(), "application/json")
