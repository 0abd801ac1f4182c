"""Prepares Vendure over its Admin API: the same goods, tax, delivery and code as on our side, and signed-in
customers."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from loadtests.bench.checkouts import CODE, DELIVERY_MINOR, PERCENT_BP, VAT_BP
from loadtests.bench.goods import PIECES
from loadtests.bench.stage import HOST, BenchError
from loadtests.peers.graphql import REFUSED, asked, data
from loadtests.peers.shopper import PAYMENT, SHOP_API
from ops.articles import Article

ADMIN_API: Final = "/admin-api"
TOKEN_HEADER: Final = "vendure-auth-token"  # noqa: S105 - the name of a header

_BATCH: Final = 50
_ASK_SECONDS: Final = 120.0
_INDEX_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.2
_PASSWORD: Final = "a password of customers in benchmarks"  # noqa: S105 - of a database that lasts a run

_TERMS: Final = """
mutation ($country: CreateCountryInput!, $category: CreateTaxCategoryInput!, $payment: CreatePaymentMethodInput!,
    $shipping: CreateShippingMethodInput!, $promotion: CreatePromotionInput!) {
  createCountry(input: $country) { id }
  createTaxCategory(input: $category) { id }
  createPaymentMethod(input: $payment) { id }
  createShippingMethod(input: $shipping) { id }
  createPromotion(input: $promotion) { ... on Promotion { id } ... on ErrorResult { errorCode message } }
}
"""
_ZONE: Final = "mutation ($input: CreateZoneInput!) { createZone(input: $input) { id } }"
_CHANNEL: Final = f"""
mutation ($input: UpdateChannelInput!) {{ updateChannel(input: $input) {{ ... on Channel {{ id }} {REFUSED} }} }}
"""
_TAX_RATE: Final = "mutation ($input: CreateTaxRateInput!) { createTaxRate(input: $input) { id } }"
_VARIANTS: Final = """
mutation ($input: [CreateProductVariantInput!]!) { createProductVariants(input: $input) { id sku } }
"""
_CUSTOMER: Final = f"""
mutation ($input: CreateCustomerInput!, $password: String!) {{
  createCustomer(input: $input, password: $password) {{ ... on Customer {{ id }} {REFUSED} }}
}}
"""
_LOGIN: Final = f"""
mutation ($name: String!, $password: String!) {{
  login(username: $name, password: $password) {{ ... on CurrentUser {{ id }} {REFUSED} }}
}}
"""


class Seeded(msgspec.Struct, frozen=True):
    """What shoppers need to know: variants' ids by SKU, the delivery method's id, and a token for each of them."""

    variants: Mapping[str, str]
    method_id: str
    tokens: Sequence[str]


class Api:
    """One of the two APIs of the shop on a port, for a user who signs in."""

    def __init__(self, port: int, path: str) -> None:
        self._url = f"http://{HOST}:{port}{path}"
        self._token = ""

    def ask(self, document: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Raises GraphQLRefusal."""
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        question = urllib.request.Request(self._url, asked(document, variables), headers, method="POST")  # noqa: S310
        with urllib.request.urlopen(question, timeout=_ASK_SECONDS) as answer:  # noqa: S310 - on this machine
            self._token = answer.headers.get(TOKEN_HEADER) or self._token
            return data(answer.read())

    def sign_in(self, name: str, password: str) -> str:
        """Returns the token of the session."""
        self.ask(_LOGIN, {"name": name, "password": password})
        return self._token


def seed(port: int, admin: Mapping[str, str], articles: Sequence[Article], shoppers: int) -> Seeded:
    """Sets up a shop without goods. `admin` is the name and password of its administrator."""
    api = Api(port, ADMIN_API)
    api.sign_in(admin["name"], admin["password"])
    category_id, method_id = _state_terms(api)
    variants = dict(_goods(api, articles, category_id))
    if len(variants) != len(articles):
        raise BenchError(f"{len(variants)} of {len(articles)} articles are on sale in Vendure")
    return Seeded(variants, method_id, [_customer(api, port, number) for number in range(shoppers)])


def index(port: int, admin: Mapping[str, str], articles: int) -> None:
    """Makes a shop with a running worker fill its search index, and waits until all its articles can be found."""
    api = Api(port, ADMIN_API)
    api.sign_in(admin["name"], admin["password"])
    job_id = api.ask("mutation { reindex { id } }")["reindex"]["id"]
    deadline = time.monotonic() + _INDEX_SECONDS
    while (state := api.ask("query ($id: ID!) { job(jobId: $id) { state } }", {"id": job_id})["job"]["state"]) not in (
        "COMPLETED",
        "FAILED",
    ):
        if time.monotonic() > deadline:
            raise BenchError(f"Vendure's index was not filled within {_INDEX_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)
    found = Api(port, SHOP_API).ask("query { search(input: { take: 1 }) { totalItems } }")["search"]["totalItems"]
    if state == "FAILED" or found != articles:
        raise BenchError(f"Vendure's index: {state}, {found} of {articles} articles are in it")


def _state_terms(api: Api) -> tuple[str, str]:
    """The ids of the tax category and of the delivery method."""
    found = api.ask(
        _TERMS,
        {
            "country": {"code": "GB", "enabled": True, "translations": _named("United Kingdom")},
            "category": {"name": "Standard", "isDefault": True},
            "payment": {
                "code": PAYMENT["method"],
                "enabled": True,
                "handler": _operation("dummy-payment-handler", automaticSettle="true"),
                "translations": _described("Card"),
            },
            "shipping": {
                "code": "post",
                "fulfillmentHandler": "manual-fulfillment",
                "checker": _operation("default-shipping-eligibility-checker", orderMinimum="0"),
                "calculator": _operation(
                    "default-shipping-calculator",
                    rate=str(DELIVERY_MINOR),
                    includesTax="include",
                    taxRate=str(VAT_BP // 100),
                ),
                "translations": _described("Post"),
            },
            "promotion": {
                "enabled": True,
                "couponCode": CODE,
                "conditions": [],
                "actions": [_operation("order_percentage_discount", discount=str(PERCENT_BP // 100))],
                "translations": _described("Welcome"),
            },
        },
    )
    category_id = found["createTaxCategory"]["id"]
    zone = {"name": "United Kingdom", "memberIds": [found["createCountry"]["id"]]}
    zone_id = api.ask(_ZONE, {"input": zone})["createZone"]["id"]
    channel = {
        "id": api.ask("query { activeChannel { id } }")["activeChannel"]["id"],
        "availableCurrencyCodes": ["GBP"],
        "defaultCurrencyCode": "GBP",
        "pricesIncludeTax": True,
        "defaultTaxZoneId": zone_id,
        "defaultShippingZoneId": zone_id,
    }
    api.ask(_CHANNEL, {"input": channel})
    tax_rate = {"name": "VAT", "enabled": True, "value": VAT_BP / 100, "categoryId": category_id, "zoneId": zone_id}
    api.ask(_TAX_RATE, {"input": tax_rate})
    return category_id, found["createShippingMethod"]["id"]


def _goods(api: Api, articles: Sequence[Article], category_id: str) -> Iterator[tuple[str, str]]:
    """SKUs with the ids of their variants."""
    (location,) = api.ask("query { stockLocations { items { id } } }")["stockLocations"]["items"]
    for start in range(0, len(articles), _BATCH):
        batch = articles[start : start + _BATCH]
        names = [f"$p{number}: CreateProductInput!" for number in range(len(batch))]
        fields = [f"p{number}: createProduct(input: $p{number}) {{ id }}" for number in range(len(batch))]
        products = api.ask(
            f"mutation ({', '.join(names)}) {{ {' '.join(fields)} }}",
            {
                f"p{number}": {"enabled": True, "translations": [{**_described(each.name)[0], "slug": each.sku}]}
                for number, each in enumerate(batch)
            },
        )
        variants = [
            {
                "productId": products[f"p{number}"]["id"],
                "sku": each.sku,
                "price": each.price_minor,
                "taxCategoryId": category_id,
                "trackInventory": "TRUE",
                "stockLevels": [{"stockLocationId": location["id"], "stockOnHand": PIECES}],
                "translations": _named(each.name),
            }
            for number, each in enumerate(batch)
        ]
        for made in api.ask(_VARIANTS, {"input": variants})["createProductVariants"]:
            yield made["sku"], made["id"]


def _customer(api: Api, port: int, number: int) -> str:
    """The token of a new customer."""
    address = f"c{number}@example.com"
    customer = {"firstName": "Ada", "lastName": "Lovelace", "emailAddress": address}
    api.ask(_CUSTOMER, {"input": customer, "password": _PASSWORD})
    return Api(port, SHOP_API).sign_in(address, _PASSWORD)


def _operation(code: str, **arguments: str) -> dict[str, Any]:
    return {"code": code, "arguments": [{"name": name, "value": value} for name, value in arguments.items()]}


def _named(name: str) -> list[dict[str, str]]:
    return [{"languageCode": "en", "name": name}]


def _described(name: str) -> list[dict[str, str]]:
    return [{"languageCode": "en", "name": name, "description": ""}]
