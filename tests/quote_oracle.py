"""The price of a basket once more, by docs/money.md and with exact fractions. It reads the same input as plain data,
and shares no code with what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from itertools import combinations
from math import floor
from typing import Any, Final

import msgspec

Plain = dict[str, Any]

_HALF: Final = Fraction(1, 2)


def _round(exact: Fraction) -> int:
    return floor(exact + _HALF)


def _split(amount: int, weights: list[int]) -> list[int]:
    if not amount:
        return [0 for _ in weights]
    exact = [Fraction(amount * weight, sum(weights)) for weight in weights]
    got = [floor(each) for each in exact]
    while sum(got) < amount:
        got[max(range(len(got)), key=lambda place: (exact[place] - got[place], -place))] += 1
    return got


def _during(at: datetime, row: Plain) -> bool:
    start, end = row.get("starts_at"), row.get("ends_at")
    return (not start or datetime.fromisoformat(start) <= at) and (not end or at < datetime.fromisoformat(end))


def _meant(items: Plain, line: Plain) -> bool:
    named = set(items["skus"]) | set(items["product_ids"]) | set(items["category_ids"])
    return not named or bool(named & {line["sku"], line["product_id"], *line["category_ids"]})


class Oracle:
    """The whole quote of a basket, worked out in `lines` and `delivery`: dicts with what each costs and why."""

    def __init__(self, basket: msgspec.Struct, offers: Mapping[str, msgspec.Struct], terms: msgspec.Struct) -> None:
        self.basket: Plain = msgspec.to_builtins(basket)
        self.offers: dict[str, Plain] = {sku: msgspec.to_builtins(offer) for sku, offer in offers.items()}
        self.terms: Plain = msgspec.to_builtins(terms)
        self.lines: list[Plain] = []
        self.delivery: Plain | None = None
        collects = any(
            method["id"] == self.basket["method_id"] and method["kind"] == "pickup" for method in self.terms["methods"]
        )
        if collects and self.basket["delivers"] and self.terms["taxes"] is not None:
            self.basket["to"] = {"country": self.terms["taxes"]["home"]}

    def work(self, at: datetime) -> None:
        self.at = at
        self.lines = [line for row in self.basket["lines"] if (line := self._line(*row)) is not None]
        applying = [(promotion, code) for promotion in self.terms["promotions"] for code in self._codes(promotion)]
        goods = [pair for pair in applying if pair[0]["action"].get("target") != "delivery"]
        on_order = [pair for pair in goods if pair[0]["action"].get("target") == "order"]
        on_lines = [pair for pair in goods if pair not in on_order]
        reducible = [line for line in self.lines if not line["gift_card"]]
        for stage in (
            [pair for pair in on_lines if pair[1] is None],
            [pair for pair in on_order if pair[1] is None],
            [pair for pair in goods if pair[1] is not None],
        ):
            self._stage(stage, reducible)
        self._deliver()
        if self.delivery is not None:
            self._stage([pair for pair in applying if pair not in goods], [self.delivery])
        self._tax()

    def _line(self, sku: str, quantity: int) -> Plain | None:
        offer = self.offers[sku]
        if (unit := self._price(offer, quantity)) is None:
            return None
        if not offer["gift_card"]:
            unit = self._relieved(unit, offer["tax_class"])
        return {**offer, "quantity": quantity, "unit": unit, "left": unit * quantity, "cuts": [], "gift": False}

    def _price(self, offer: Plain, quantity: int) -> int | None:
        """The price of the SKU that no other one beats."""
        own = {offer["currency"]: offer["price_minor"]}
        listed: list[tuple[int, int]] = []
        for price in offer["prices"]:
            if price["price_list_id"] is None:
                own.setdefault(price["currency"], price["price_minor"])
                continue
            row = self.terms["price_lists"].get(price["price_list_id"])
            if (
                row is not None
                and price["currency"] == self.basket["currency"]
                and quantity >= price["min_quantity"]
                and (not row["groups"] or set(row["groups"]) & set(self.basket["groups"]))
                and _during(self.at, row)
            ):
                listed.append((row["priority"], price["price_minor"]))
        if not listed:
            return own.get(self.basket["currency"])
        first = max(priority for priority, _ in listed)
        return min(price for priority, price in listed if priority == first)

    def _codes(self, promotion: Plain) -> list[str | None]:
        if not promotion["coded"]:
            return [None]
        typed = [text.upper() for text in self.basket["codes"]]
        found = [self.terms["codes"][text] for text in typed if text in self.terms["codes"]]
        return [code["code"] for code in found if code["promotion_id"] == promotion["id"]][:1]

    def _holds(self, rule: Plain) -> bool:
        lines = [line for line in self.lines if not line["gift"] and not line["gift_card"]]
        match rule["kind"]:
            case "subtotal":
                wanted = rule["at_least_minor"].get(self.basket["currency"])
                spent = sum(line["left"] for line in lines if _meant(rule["items"], line))
                return wanted is not None and bool(spent >= wanted)
            case "quantity":
                return bool(sum(line["quantity"] for line in lines if _meant(rule["items"], line)) >= rule["at_least"])
            case "customer":
                return self.basket["customer_id"] in rule["ids"]
            case "group":
                return bool(set(rule["groups"]) & set(self.basket["groups"]))
            case "first_order":
                return self.basket["first_order"] is True
            case "country":
                return self.basket["to"] is not None and self.basket["to"]["country"] in rule["countries"]
        raise AssertionError(rule["kind"])

    def _stage(self, pairs: list[tuple[Plain, str | None]], parts: list[Plain]) -> None:
        standing = [
            (promotion, code)
            for promotion, code in pairs
            if _during(self.at, promotion) and all(map(self._holds, promotion["rules"]))
        ]
        savings = {
            promotion["id"]: sum(self._cuts(promotion["action"], self._about(promotion["action"], parts)))
            + self._gift_value(promotion["action"])
            for promotion, _ in standing
        }
        standing.sort(key=lambda pair: (-pair[0]["priority"], -savings[pair[0]["id"]], pair[0]["id"]))
        seen: list[Plain] = []
        shut: list[Plain] = []
        for promotion, _ in standing:
            action, barred = promotion["action"], shut if promotion["combines"] else seen
            about = self._about(action, parts)
            free = [part for part in about if not any(part is other for other in barred)]
            if action.get("target") in ("order", "delivery") and len(free) < len(about):
                continue
            cuts = self._cuts(action, free)
            gift_value = self._gift_value(action)
            given = self._gives(action)
            if not (sum(cuts) + gift_value or given or (action.get("target") == "delivery" and free)):
                continue
            for part, cut in zip(free, cuts, strict=True):
                if cut or action.get("target") == "delivery":
                    part["cuts"].append((promotion["id"], cut))
                part["left"] -= cut
            seen += free
            shut += [] if promotion["combines"] else free
            if given and (gift := self._line(action["sku"], action["quantity"])) is not None:
                gift |= {"gift": True, "left": 0, "cuts": [(promotion["id"], gift["left"])] if gift["left"] else []}
                self.lines.append(gift)

    def _about(self, action: Plain, parts: list[Plain]) -> list[Plain]:
        match action["kind"]:
            case "gift":
                return []
            case "buy_get":
                return [part for part in parts if _meant(action["buy"], part) or _meant(action["get"], part)]
        if action["target"] == "lines":
            return [part for part in parts if _meant(action["items"], part)]
        return parts

    def _gives(self, action: Plain) -> bool:
        offer = self.offers.get(action["sku"]) if action["kind"] == "gift" else None
        return offer is not None and not offer["gift_card"]

    def _gift_value(self, action: Plain) -> int:
        if not self._gives(action):
            return 0
        gift = self._line(action["sku"], action["quantity"])
        return 0 if gift is None else gift["left"]

    def _cuts(self, action: Plain, parts: list[Plain]) -> list[int]:
        lefts = [part["left"] for part in parts]
        together = action.get("across") or action.get("target") in ("order", "delivery")
        match action["kind"]:
            case "gift":
                return []
            case "buy_get":
                pieces = _got(action, parts)
                rate = Fraction(action["percent_bp"], 10_000)
                return [
                    _round(Fraction(part["left"] * got, part["quantity"]) * rate)
                    for part, got in zip(parts, pieces, strict=True)
                ]
            case "percent" if together:
                return _split(_round(Fraction(sum(lefts) * action["percent_bp"], 10_000)), lefts)
            case "fixed" if together:
                return _split(min(sum(lefts), action["amounts_minor"][self.basket["currency"]]), lefts)
        pieces = _cheapest(parts, action["max_quantity"])
        worth = [Fraction(part["left"] * meant, part["quantity"]) for part, meant in zip(parts, pieces, strict=True)]
        if action["kind"] == "percent":
            return [_round(each * Fraction(action["percent_bp"], 10_000)) for each in worth]
        amount = action["amounts_minor"][self.basket["currency"]]
        return [min(amount * meant, _round(each)) for meant, each in zip(pieces, worth, strict=True)]

    def _deliver(self) -> None:
        sent = [line for line in self.lines if not line["digital"] and not line["gift_card"]]
        goods = sum(line["left"] for line in self.lines)
        grams = sum(line["weight_grams"] * line["quantity"] for line in sent)
        for method in self.terms["methods"]:
            if method["id"] != self.basket["method_id"] or not sent:
                continue
            for rate in method["rates"]:
                if rate["currency"] == self.basket["currency"] and (rate["below_grams"] or grams + 1) > grams:
                    free = rate["free_from_minor"] is not None and goods >= rate["free_from_minor"]
                    unit = self._relieved(0 if free else rate["price_minor"], method["tax_class"])
                    self.delivery = {
                        "unit": unit,
                        "left": unit,
                        "quantity": 1,
                        "cuts": [],
                        **method,
                        "gift_card": False,
                    }
                    return

    def _rates(self, tax_class: str, country: str) -> list[Plain]:
        taxes = self.terms["taxes"]
        rates = [rate for rate in taxes["rates"] if rate["tax_class"] == tax_class]
        return sorted((rate for rate in rates if rate["area"]["country"] == country), key=lambda rate: rate["name"])

    def _place(self) -> str:
        return str(self.basket["to"]["country"] if self.basket["to"] else self.terms["taxes"]["home"])

    def _free_of_tax(self) -> str | None:
        taxes, country = self.terms["taxes"], self._place()
        if self.basket["tax_exempt"]:
            return "exempt"
        if country == taxes["home"]:
            return None
        if self.basket["tax_id"] and country in taxes["union"] and taxes["home"] in taxes["union"]:
            return "reverse_charge"
        return None if any(rate["area"]["country"] == country for rate in taxes["rates"]) else "export"

    def _relieved(self, price: int, tax_class: str) -> int:
        taxes = self.terms["taxes"]
        if taxes is None or not taxes["policy"]["included"] or self._free_of_tax() is None:
            return price
        rates = self._rates(tax_class, self._place()) or self._rates(tax_class, taxes["home"])
        return _round(Fraction(price * 10_000, 10_000 + sum(rate["rate_bp"] for rate in rates)))

    def _tax(self) -> None:
        parts = [*self.lines, *([self.delivery] if self.delivery else [])]
        for part in parts:
            part["taxes"] = []
        if (taxes := self.terms["taxes"]) is None:
            return
        policy = taxes["policy"]
        alike: dict[Any, list[Plain]] = {}
        for part in parts:
            if not part["gift_card"]:
                rates = [] if self._free_of_tax() else self._rates(part["tax_class"], self._place())
                alike.setdefault(tuple((rate["name"], rate["rate_bp"]) for rate in rates), []).append(part)
        together = policy["rounding"] == "order"
        groups = [(rates, [part]) for rates, found in alike.items() for part in found]
        if policy["included"]:
            for rates, found in alike.items() if together else groups:
                rate_bps = [rate_bp for _, rate_bp in rates]
                lefts = [part["left"] for part in found]
                contained = sum(lefts) - _round(Fraction(sum(lefts) * 10_000, 10_000 + sum(rate_bps)))
                for part, amount in zip(found, _split(contained, lefts), strict=True):
                    part["taxes"] = [*zip(rates, _split(amount, rate_bps), strict=True)]
            return
        by_rate: dict[Any, list[Plain]] = {}
        for rates, found in alike.items():
            for rate in rates:
                by_rate.setdefault(rate, []).extend(found)
        for rate, found in sorted(by_rate.items()):
            for chunk in [found] if together else [[part] for part in found]:
                lefts = [part["left"] for part in chunk]
                amount = _round(Fraction(sum(lefts) * rate[1], 10_000))
                for part, share in zip(chunk, _split(amount, lefts), strict=True):
                    part["taxes"].append((rate, share))

    def total(self) -> int:
        """What is to be paid, before cards."""
        parts = [*self.lines, *([self.delivery] if self.delivery else [])]
        added = self.terms["taxes"] is not None and not self.terms["taxes"]["policy"]["included"]
        return sum(part["left"] + added * sum(amount for _, amount in part["taxes"]) for part in parts)


def _cheapest(parts: list[Plain], most: int | None) -> list[int]:
    pieces = sorted((part["unit"], place) for place, part in enumerate(parts) for _ in range(part["quantity"]))
    chosen = [place for _, place in pieces[:most]]
    return [chosen.count(place) for place in range(len(parts))]


def _got(action: Plain, parts: list[Plain]) -> list[int]:
    """By trying every choice of pieces: as often as possible, and then the cheapest."""
    pieces = [(part["unit"], place) for place, part in enumerate(parts) for _ in range(part["quantity"])]
    can_be_got = [piece for piece in pieces if _meant(action["get"], parts[piece[1]])]
    bought = [piece for piece in pieces if _meant(action["buy"], parts[piece[1]])]
    most = len(pieces) // (action["buy_quantity"] + action["get_quantity"])
    for times in range(most if action["times"] is None else min(most, action["times"]), 0, -1):
        choices = [
            sorted(got)
            for got in combinations(can_be_got, times * action["get_quantity"])
            if len(bought) - sum(_meant(action["buy"], parts[place]) for _, place in got)
            >= times * action["buy_quantity"]
        ]
        if choices:
            got = [place for _, place in min(choices)]
            return [got.count(place) for place in range(len(parts))]
    return [0] * len(parts)
