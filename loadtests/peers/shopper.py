"""A shopper of Vendure, who does the same as ours (see `loadtests.bench.shopper`), step by step, in as many requests.
If a step takes two mutations, both are sent in one document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from domain.model import Wanted
from loadtests.bench.shopper import ADDRESS, CHECKOUT, COMPLETE, LOOK_AGAIN_SECONDS, LOOKS
from loadtests.conversations import Conversation, Pause, Talked, Unexpected
from loadtests.loadgen import request
from loadtests.peers.graphql import REFUSED, asked, data

SHOP_API: Final = "/shop-api"
PAID: Final = "PaymentSettled"

_QUOTE: Final = """
fragment Quote on Order {
  code state couponCodes subTotalWithTax shippingWithTax totalWithTax
  lines { quantity unitPriceWithTax linePriceWithTax discountedLinePriceWithTax productVariant { sku } }
  discounts { description amountWithTax }
  taxSummary { taxRate taxTotal }
}
"""

BROWSE: Final = """
query { search(input: { take: 20, groupByProduct: true }) {
  totalItems
  items { productId productName slug sku currencyCode
    priceWithTax { ... on SinglePrice { value } ... on PriceRange { min max } } }
} }
"""
OPEN: Final = f"""
mutation ($lines: [AddItemInput!]!) {{
  addItemsToOrder(inputs: $lines) {{ order {{ ...Quote }} errorResults {{ {REFUSED} }} }}
}} {_QUOTE}
"""
ADDRESSED: Final = f"""
mutation ($address: CreateAddressInput!) {{
  setOrderShippingAddress(input: $address) {{ ...Quote {REFUSED} }}
}} {_QUOTE}
"""
DELIVERED: Final = f"""
mutation ($method: ID!) {{ setOrderShippingMethod(shippingMethodId: [$method]) {{ ...Quote {REFUSED} }} }} {_QUOTE}
"""
CODE: Final = f"mutation ($code: String!) {{ applyCouponCode(couponCode: $code) {{ ...Quote {REFUSED} }} }} {_QUOTE}"
PAY: Final = f"""
mutation ($payment: PaymentInput!) {{
  transitionOrderToState(state: "ArrangingPayment") {{ ... on Order {{ state }} {REFUSED} }}
  addPaymentToOrder(input: $payment) {{ ...Quote {REFUSED} }}
}} {_QUOTE}
"""
ORDER: Final = f"query ($code: String!) {{ orderByCode(code: $code) {{ ...Quote }} }} {_QUOTE}"

PAYMENT: Final = {"method": "dummy", "metadata": {}}
_ADDRESS: Final = {
    "fullName": ADDRESS["name"],
    "streetLine1": ADDRESS["line1"],
    "city": ADDRESS["city"],
    "postalCode": ADDRESS["postal_code"],
    "countryCode": ADDRESS["country"],
}


class VendureShopper:
    """One customer who is signed in. `host` is for the Host header."""

    def __init__(self, host: str, token: str) -> None:
        self._host = host
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def buys(
        self, talked: Talked, lines: Sequence[Wanted], variants: Mapping[str, str], method_id: str, code: str
    ) -> Conversation:
        """A whole checkout; `variants` are Vendure's ids by SKU. Its time, and that of `complete`, are kept in
        `talked`."""
        spent = 0.0
        data((yield self._ask(BROWSE)).content(200))
        chosen = [{"productVariantId": variants[each.sku], "quantity": each.quantity} for each in lines]
        for document, variables in (
            (OPEN, {"lines": chosen}),
            (ADDRESSED, {"address": _ADDRESS}),
            (DELIVERED, {"method": method_id}),
            (CODE, {"code": code}),
        ):
            answer = yield self._ask(document, variables)
            spent += answer.seconds
            shown = data(answer.content(200))
        if shown["applyCouponCode"]["couponCodes"] != [code]:
            raise Unexpected(f"the code does not count: {shown}")
        answer = yield self._ask(PAY, {"payment": PAYMENT})
        spent += answer.seconds
        talked.timed(COMPLETE, answer.seconds)
        order = data(answer.content(200))["addPaymentToOrder"]
        looks = 0
        while order["state"] != PAID:
            looks += 1
            if looks > LOOKS:
                raise Unexpected(f"still not paid: {order['state']}")
            yield Pause(LOOK_AGAIN_SECONDS)
            answer = yield self._ask(ORDER, {"code": order["code"]})
            spent += answer.seconds + LOOK_AGAIN_SECONDS
            order = data(answer.content(200))["orderByCode"]
        talked.timed(CHECKOUT, spent)

    def _ask(self, document: str, variables: Mapping[str, Any] | None = None) -> bytes:
        return request("POST", self._host, SHOP_API, self._headers, asked(document, variables))
