"""The auditor compares the books with one another and with what people were told. It shares no code with the
application."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final

from tests.chaos.auditor import Findings
from tests.money.books import GONE, KINDS, Books
from tests.money.client import Act, Bought, Told

_PAID: Final = ("confirmed", "fulfilled")


class Auditor:
    """Audits one run."""

    def __init__(self, books: Books, told: Told) -> None:
        self._books = books
        self._told = told
        self._findings = Findings()

    def audit(self) -> Findings:
        """Looks at everything."""
        self._findings.found += self._told.wrong
        for what, count in self._books.left.items():
            self._findings.unless(count == 0, f"{count} {what}")
        self._both_ledgers_agree()
        self._nothing_is_charged_twice()
        self._orders_are_paid_or_gone()
        self._cards_and_codes_add_up()
        for bought in self._told.bought:
            self._buyer_was_told_so(bought)
        for act in self._told.acts:
            self._clerk_was_told_so(act)
        return self._findings

    def _both_ledgers_agree(self) -> None:
        """Payment by payment, and in all."""
        theirs: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for moved in self._books.moved:
            theirs[moved.payment][KINDS[moved.kind]] += moved.amount_minor
        ours = {key: payment for key, payment in self._books.payments.items() if payment["card_id"] is None}
        for payment_id in theirs.keys() - ours.keys():
            self._findings.unless(False, f"payment {payment_id} at the provider is not ours: {theirs[payment_id]}")
        for payment_id, payment in ours.items():
            for what in KINDS.values():
                there, here = theirs[payment_id][what], payment[what]
                said = f"payment {payment_id}: {what} {there} at the provider, {here} here"
                self._findings.unless(there == here, said)
                self._findings.counts[f"{what}, in minor units"] += there

    def _nothing_is_charged_twice(self) -> None:
        """Whatever moved at the provider, step by step: no act is done twice, and a buyer never pays more for an order
        than is due."""
        acts = Counter((moved.payment, moved.kind, moved.reference) for moved in self._books.moved)
        for (payment_id, kind, reference), times in acts.items():
            self._findings.unless(times == 1, f"payment {payment_id}: {kind} {reference} done {times} times")
        held: Counter[str] = Counter()
        kept: Counter[str] = Counter()
        for moved in self._books.moved:
            payment = self._books.payments.get(moved.payment)
            if payment is None:
                continue
            order_id, amount = payment["order_id"], moved.amount_minor
            if moved.kind == "authorization":
                held[order_id] += amount
            elif moved.kind == "cancel":
                held[order_id] -= amount
            elif moved.kind == "refund":
                kept[order_id] -= amount
            else:
                kept[order_id] += amount
                held[order_id] -= amount * (payment["capture"] == "manual")
            due = self._books.orders[order_id]["due_minor"]
            is_right = min(held[order_id], kept[order_id]) >= 0 and held[order_id] + kept[order_id] <= due
            said = f"order {order_id}, due {due}: {held[order_id]} are held and {kept[order_id]} kept of its buyer"
            self._findings.unless(is_right, said)

    def _orders_are_paid_or_gone(self) -> None:
        """No money is kept for a cancelled or expired order; a confirmed one was paid, by cards and the provider."""
        for order_id, payments in self._books.payments_of.items():
            order = self._books.orders.get(order_id)
            if order is None:
                self._findings.unless(False, f"payments without an order: {payments}")
                continue
            what = f"order {order_id}, {order['status']}"
            self._findings.unless(order["of_checkout"] == order_id, f"{what}: is not the one order of its checkout")
            self._findings.counts[f"orders {order['status']}"] += 1
            if order["status"] in GONE:
                kept = sum(each["charged"] - each["refunded"] for each in payments)
                held = sum(
                    each["authorized"] - each["charged"] - each["cancelled"]
                    for each in payments
                    if each["capture"] == "manual"
                )
                self._findings.unless((kept, held) == (0, 0), f"{what}: {kept} are kept for it, and {held} held")
            elif order["status"] in _PAID:
                begun = {"manual": "authorized", "automatic": "charged"}
                paid = sum(each[begun[each["capture"]]] for each in payments)
                self._findings.unless(paid == order["total_minor"], f"{what}: {paid} paid of {order['total_minor']}")

    def _cards_and_codes_add_up(self) -> None:
        """Each card's balance is what was put on it, less what it paid for orders; a code's uses are those of existing
        orders."""
        spent: Counter[str] = Counter()
        held: Counter[str] = Counter()
        for payment in self._books.payments.values():
            if card_id := payment["card_id"]:
                spent[card_id] += payment["charged"] - payment["refunded"]
                held[card_id] += payment["authorized"] - payment["charged"] - payment["cancelled"]
                self._findings.counts["paid by cards, in minor units"] += payment["charged"] - payment["refunded"]
        for card in self._books.cards:
            key, expected = card["key"], (card["put_on"] - spent[card["key"]], held[card["key"]])
            stands = (card["posted"], card["pending"])
            self._findings.unless(stands == expected and held[key] == 0, f"card {key}: {stands}, and not {expected}")
        for code in self._books.codes:
            said = f"{code['key']}: {code['pending']} of {code['posted']} are taken, by {code['taken']} orders"
            self._findings.unless(code["pending"] == code["taken"] <= code["posted"], said)
            self._findings.counts["uses of codes with a limit"] += code["taken"]

    def _buyer_was_told_so(self, bought: Bought) -> None:
        """Each buyer who was told of an order has it, once, at the agreed price; one who was refused has none."""
        found = [each for each in self._books.orders.values() if each["checkout_id"] == bought.checkout_id]
        has = {(order["id"], order["total_minor"]) for order in found}
        what = f"checkout {bought.checkout_id} (purchase {bought.number})"
        self._findings.unless(has == bought.told, f"{what}: told of {bought.told}, and there is {has}")
        owners = {order["customer_id"] for order in found}
        self._findings.unless(owners <= {bought.customer}, f"{what}: {bought.customer} bought it, and {owners} have it")
        self._findings.counts["checkouts"] += 1
        for code in bought.refused:
            self._findings.counts[f"refused: {code}"] += 1

    def _clerk_was_told_so(self, act: Act) -> None:
        """Each accepted request of staff reached the providers once, however often it was repeated; refused ones did
        not."""
        done = self._books.acts.get(act.key, [])
        said = f"{act.what} of {act.amount_minor}, key {act.key}: told {act.answers}, and there is {done}"
        accepted = {status == 200 for status, _ in act.answers}
        if accepted == {True}:
            amounts = [amount for status, amount in done if status == "applied"]
            right = len(done) == 1 == len(amounts) and amounts[0] == (act.amount_minor or amounts[0])
        elif accepted == {False}:
            right = all(status == "rejected" for status, _ in done)
        else:
            right = False
        self._findings.unless(right, said)
        self._findings.counts[f"acts of staff {'done' if accepted == {True} else 'refused'}"] += 1
