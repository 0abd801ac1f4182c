"""The invariants of the shop, whatever is asked of it: Hypothesis looks for a sequence of commands that breaks one."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.ids import new_id
from domain.limits import LINE_MAX_QUANTITY, MOVEMENT_MAX_QUANTITY, ORDER_MAX_LINES, PRICE_MAX_MINOR, STOCK_MAX_ON_HAND
from domain.model import Command, Event, Product, Rejection, Shop, Who, decide, evolve
from domain.orders import PLACED, CancelOrder, PlaceOrder, Wanted
from domain.stock import AdjustStock, ReceiveStock

PRODUCTS = {
    product.sku: product
    for product in (
        Product("LAMP", "A lamp", 250, "GBP"),
        Product("MUG", "A mug", 0, "GBP"),
        Product("VASE", "Eine Vase", 990, "EUR"),
        Product("CROWN", "A crown", PRICE_MAX_MINOR, "GBP"),
    )
}
ORDER_IDS = [new_id(1_700_000_000_000 + number, number, number) for number in range(6)]
CODES = {
    "insufficient_stock",
    "mixed_currencies",
    "order_not_found",
    "order_state_conflict",
    "order_total_exceeded",
    "stock_limit_exceeded",
    "unknown_sku",
}

skus = st.sampled_from([*PRODUCTS, "UNKNOWN"])
order_ids = st.sampled_from(ORDER_IDS)
people = st.builds(Who, st.sampled_from(["ann", "bob"]), st.booleans())
wanted = st.builds(Wanted, skus, st.integers(1, 5) | st.integers(1, LINE_MAX_QUANTITY * ORDER_MAX_LINES))
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        PlaceOrder,
        order_ids,
        st.sampled_from(["ann", "bob"]),
        # Now and then a SKU stands twice: the rule raises, and that must change nothing either.
        st.lists(wanted, min_size=1, max_size=4).map(tuple),
    ),
    st.builds(CancelOrder, order_ids),
    st.builds(ReceiveStock, skus, st.integers(1, 20) | st.integers(1, MOVEMENT_MAX_QUANTITY)),
    st.builds(
        AdjustStock,
        skus,
        (st.integers(-20, 20) | st.integers(-MOVEMENT_MAX_QUANTITY, MOVEMENT_MAX_QUANTITY)).filter(bool),
        st.just("counted"),
    ),
)
sequences = st.lists(st.tuples(commands, people), max_size=60)


def empty_shop() -> Shop:
    return Shop(dict(PRODUCTS), {}, {})


def copy_of(shop: Shop) -> Shop:
    """What the shop looks like now. Its values cannot change, so that copying its dicts is enough."""
    return Shop(dict(shop.products), dict(shop.stock), dict(shop.orders))


def decided(shop: Shop, command: Command, who: Who) -> Sequence[Event]:
    """The command's events; none if it was refused or its rule raised."""
    before = copy_of(shop)
    try:
        decision = decide(shop, command, who)
    except ValueError:
        decision = ()
    assert shop == before, "decide changed the shop"
    if isinstance(decision, Rejection):
        assert decision.code in CODES
        return ()
    return decision


def run(shop: Shop, sequence: Sequence[tuple[Command, Who]]) -> list[Event]:
    """Applies the commands, looking after each that nothing is broken; returns all that happened."""
    log: list[Event] = []
    for command, who in sequence:
        for event in decided(shop, command, who):
            log.append(event)
            evolve(shop, event)
            check(shop)
    return log


def check(shop: Shop) -> None:
    """What must always hold."""
    promised: Counter[str] = Counter()
    for order in shop.orders.values():
        assert order.total_minor == sum(line.quantity * line.unit_price_minor for line in order.lines)
        if order.status == PLACED:
            promised.update({line.sku: line.quantity for line in order.lines})
    for sku, stock in shop.stock.items():
        assert 0 <= stock.reserved <= stock.on_hand <= STOCK_MAX_ON_HAND, f"{sku} is oversold"
        assert stock.reserved == promised[sku], f"{sku}: what is reserved is not what orders hold"
    assert promised.keys() <= shop.stock.keys()


LOTS = MOVEMENT_MAX_QUANTITY
STAFF = Who("sam", staff=True)


@given(sequences)
@example([(ReceiveStock("MUG", LOTS), STAFF)] * 201)
@example(
    [
        (ReceiveStock("MUG", 1), STAFF),
        (PlaceOrder(ORDER_IDS[0], "ann", (Wanted("MUG", 1),)), STAFF),
        (AdjustStock("MUG", -1, "broken"), STAFF),
        (PlaceOrder(ORDER_IDS[0], "ann", (Wanted("MUG", 1),)), STAFF),
        (CancelOrder(ORDER_IDS[0]), STAFF),
        (PlaceOrder(ORDER_IDS[0], "ann", (Wanted("MUG", 1),)), STAFF),
        (CancelOrder(ORDER_IDS[0]), STAFF),
        (AdjustStock("MUG", -1, "broken"), STAFF),
    ]
)
@settings(deadline=None, max_examples=300)
def test_no_sequence_of_commands_breaks_an_invariant(sequence: list[tuple[Command, Who]]) -> None:
    shop = empty_shop()
    log = run(shop, sequence)
    folded = empty_shop()
    for event in log:
        evolve(folded, event)
    assert folded == shop, "the log does not fold to the shop that wrote it"


@given(sequences, st.tuples(commands, people))
@settings(deadline=None, max_examples=100)
def test_the_same_command_on_the_same_shop_is_decided_alike(
    sequence: list[tuple[Command, Who]], asked: tuple[Command, Who]
) -> None:
    shop = empty_shop()
    run(shop, sequence)
    assert decided(shop, *asked) == decided(copy_of(shop), *asked)


@given(sequences, order_ids)
@settings(deadline=None, max_examples=100)
def test_cancelling_leaves_no_trace_in_what_is_available(sequence: list[tuple[Command, Who]], order_id: UUID) -> None:
    shop = empty_shop()
    run(shop, sequence)
    before = {sku: stock.available for sku, stock in shop.stock.items()}
    lines = [Wanted(sku, available) for sku, available in before.items() if available > 0 and sku != "VASE"]
    if not lines or order_id in shop.orders:
        return
    run(shop, [(PlaceOrder(order_id, "ann", tuple(lines)), STAFF), (CancelOrder(order_id), STAFF)])
    assert {sku: stock.available for sku, stock in shop.stock.items()} == before
