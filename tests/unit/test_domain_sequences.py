"""The shop's invariants hold for any commands: Hypothesis looks for a sequence that breaks one."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from domain.catalogue import (
    ACTIVE,
    PRODUCT_STATUSES,
    ChangeProduct,
    ChangeVariant,
    CreateProduct,
    Product,
    ProductFields,
    PutListing,
    SetVariant,
    Variant,
    VariantFields,
)
from domain.categories import Category, CategoryFields, ChangeCategory, CreateCategory
from domain.ids import new_id
from domain.limits import (
    CATEGORY_MAX_DEPTH,
    LINE_MAX_QUANTITY,
    MOVEMENT_MAX_QUANTITY,
    ORDER_MAX_LINES,
    PRICE_MAX_MINOR,
    STOCK_MAX_ON_HAND,
)
from domain.model import Command, Context, Event, Offer, Rejection, Shop, Wanted, decide, evolve
from domain.orders import CANCELLED, PLACED, CancelOrder, ConfirmOrder, ExpireOrder, FulfilOrder, PlaceOrder
from domain.stock import STOCK, AdjustStock, ReceiveStock, SetStock
from tests.contexts import context

LOTS = MOVEMENT_MAX_QUANTITY
STAFF = context("sam", "staff")

VARIANTS = (
    VariantFields("LAMP", 250, "GBP"),
    VariantFields("MUG", 0, "GBP"),
    VariantFields("VASE", 990, "EUR"),
    VariantFields("CROWN", PRICE_MAX_MINOR, "GBP"),
)
PRODUCT_IDS = [new_id(1_600_000_000_000 + number, number, number) for number in range(3)]
CATEGORY_IDS = [new_id(1_500_000_000_000 + number, number, number) for number in range(CATEGORY_MAX_DEPTH + 2)]
ORDER_IDS = [new_id(1_700_000_000_000 + number, number, number) for number in range(6)]
CODES = {
    "category_cycle",
    "category_not_found",
    "category_too_deep",
    "insufficient_stock",
    "mixed_currencies",
    "not_on_sale",
    "order_not_found",
    "order_state_conflict",
    "order_total_exceeded",
    "product_not_found",
    "sku_taken",
    "slug_taken",
    "stock_limit_exceeded",
    "unknown_category",
    "unknown_sku",
    "variant_not_found",
    "version_conflict",
}

skus = st.sampled_from([*(variant.sku for variant in VARIANTS), "UNKNOWN"])
order_ids = st.sampled_from(ORDER_IDS)
product_ids = st.sampled_from(PRODUCT_IDS)
category_ids = st.sampled_from(CATEGORY_IDS)
slugs = st.sampled_from(["plain", "fancy", "rare"])
statuses = st.sampled_from(PRODUCT_STATUSES)
versions = st.none() | st.integers(1, 5)
people = st.builds(context, st.sampled_from(["ann", "bob"]), st.sampled_from(["customer", "staff"]))
wanted = st.builds(Wanted, skus, st.integers(1, 5) | st.integers(1, LINE_MAX_QUANTITY * ORDER_MAX_LINES))
products = st.builds(
    ProductFields,
    slug=slugs,
    name=st.just("Something"),
    category_id=st.none() | category_ids,
    status=statuses,
)
variants = st.builds(
    VariantFields,
    sku=skus,
    price_minor=st.integers(0, 500),
    currency=st.sampled_from(["GBP", "EUR"]),
    active=st.booleans(),
)
orders: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        PlaceOrder,
        order_ids,
        st.sampled_from(["ann", "bob"]),
        # Now and then a SKU is repeated: the rule raises, and that must change nothing either.
        st.lists(wanted, min_size=1, max_size=4).map(tuple),
    ),
    st.builds(ConfirmOrder, order_ids),
    st.builds(FulfilOrder, order_ids),
    st.builds(CancelOrder, order_ids),
    st.builds(ExpireOrder, order_ids),
)
movements: st.SearchStrategy[Command] = st.one_of(
    st.builds(ReceiveStock, skus, st.integers(1, 20) | st.integers(1, LOTS)),
    st.builds(SetStock, skus, st.integers(0, 20) | st.integers(0, STOCK_MAX_ON_HAND)),
    st.builds(
        AdjustStock,
        skus,
        (st.integers(-20, 20) | st.integers(-LOTS, LOTS)).filter(bool),
        st.just("counted"),
    ),
)
listings: st.SearchStrategy[Command] = st.one_of(
    st.builds(CreateProduct, product_ids, products, st.lists(variants, max_size=2).map(tuple)),
    st.builds(
        ChangeProduct,
        product_ids,
        st.one_of(
            st.fixed_dictionaries({"status": statuses}),
            st.fixed_dictionaries({"slug": slugs}),
            st.fixed_dictionaries({"category_id": st.none() | category_ids.map(str)}),
        ),
        versions,
    ),
    st.builds(SetVariant, product_ids, variants, versions),
    st.builds(
        ChangeVariant,
        product_ids,
        skus,
        st.one_of(
            st.fixed_dictionaries({"price_minor": st.integers(0, 50)}),
            st.fixed_dictionaries({"active": st.booleans()}),
            st.fixed_dictionaries({"attributes": st.dictionaries(st.sampled_from("abc"), st.none() | st.just("x"))}),
        ),
        versions,
    ),
    st.builds(
        PutListing,
        product_ids,
        st.none() | products,
        st.none() | variants,
        st.none() | st.integers(0, 20) | st.integers(0, STOCK_MAX_ON_HAND),
    ),
)
categories = st.builds(
    CategoryFields,
    slug=slugs | st.integers(1, 99).map(str),
    name=st.just("Category"),
    parent_id=st.none() | category_ids,
)
trees: st.SearchStrategy[Command] = st.one_of(
    st.builds(CreateCategory, category_ids, categories),
    st.builds(
        ChangeCategory,
        category_ids,
        st.fixed_dictionaries({"parent_id": st.none() | category_ids.map(str)}),
        versions,
    ),
)
commands = st.one_of(orders, orders, movements, listings, trees)
sequences = st.lists(st.tuples(commands, people), max_size=60)


def open_shop() -> Shop:
    """A shop with one product with four variants on sale, and no stock."""
    shop = Shop()
    create = CreateProduct(PRODUCT_IDS[0], ProductFields("plain", "Plain things", status=ACTIVE), VARIANTS)
    run(shop, [(create, STAFF)])
    return shop


KINDS: Final = (Category, Product, Variant)


def copy_of(shop: Shop) -> Shop:
    """A copy of the shop. Its values are immutable, so copying its dicts is enough."""
    return Shop(
        dict(shop.offers),
        {STOCK: dict(shop.balances_of(STOCK))},
        dict(shop.orders),
        {kind: dict(shop.of(kind)) for kind in KINDS},
    )


def state_of(shop: Shop) -> tuple[Any, ...]:
    """The shop's state, without the indexes that the rules keep."""
    return shop.offers, shop.balances_of(STOCK), shop.orders, [shop.of(kind) for kind in KINDS]


def decided(shop: Shop, command: Command, actor: Context) -> Sequence[Event]:
    """The command's events; none if it was refused or its rule raised."""
    before = copy_of(shop)
    try:
        decision = decide(shop, command, actor)
    except ValueError:
        decision = ()
    assert state_of(shop) == state_of(before), "decide changed the shop"
    if isinstance(decision, Rejection):
        assert decision.code in CODES
        return ()
    return decision


def run(shop: Shop, sequence: Sequence[tuple[Command, Context]]) -> list[Event]:
    """Applies the commands, checking the invariants after each; returns all events."""
    log: list[Event] = []
    for command, actor in sequence:
        for event in decided(shop, command, actor):
            log.append(event)
            evolve(shop, event)
        check_orders(shop)
        check_catalogue(shop)
        check_categories(shop)
    return log


def check_orders(shop: Shop) -> None:
    """Stock and orders agree, and nothing is reserved twice."""
    promised: Counter[str] = Counter()
    returned: Counter[str] = Counter()
    for order in shop.orders.values():
        assert order.total_minor == sum(line.quantity * line.unit_price_minor for line in order.lines)
        lines = {line.sku: line.quantity for line in order.lines}
        if order.status == PLACED:
            promised.update(lines)
        elif order.status == CANCELLED:
            returned.update(lines)
    for sku, stock in shop.balances_of(STOCK).items():
        assert 0 <= stock.pending <= stock.posted, f"{sku} is oversold"
        # Returned stock fits, even if the stock was filled to its limit meanwhile.
        assert stock.posted <= STOCK_MAX_ON_HAND + returned[sku]
        assert stock.pending == promised[sku], f"{sku}: the reserved pieces differ from those that orders hold"
    assert promised.keys() <= shop.balances_of(STOCK).keys()


def check_catalogue(shop: Shop) -> None:
    """The offers agree with the catalogue."""
    all_products: dict[UUID, Product] = shop.of(Product)
    all_variants: dict[str, Variant] = shop.of(Variant)
    assert len({product.slug for product in all_products.values()}) == len(all_products)
    for product in all_products.values():
        assert product.category_id is None or product.category_id in shop.of(Category)
    for sku, variant in all_variants.items():
        on_sale = variant.active and all_products[variant.product_id].status == ACTIVE
        assert variant.on_sale == on_sale
        assert shop.offers[sku] == Offer(
            sku, variant.price_minor, variant.currency, on_sale, product_id=variant.product_id
        )
    assert shop.offers.keys() == all_variants.keys() >= shop.balances_of(STOCK).keys()


def check_categories(shop: Shop) -> None:
    """They are a tree, and not too deep."""
    tree: dict[UUID, Category] = shop.of(Category)
    assert len({category.slug for category in tree.values()}) == len(tree)
    for category in tree.values():
        above = category.parent_id
        for _ in range(CATEGORY_MAX_DEPTH - 1):
            above = tree[above].parent_id if above is not None else None
        assert above is None, "too deep, or a cycle"


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
@example(
    [
        (ReceiveStock("MUG", 1), STAFF),
        (PlaceOrder(ORDER_IDS[0], "ann", (Wanted("MUG", 1),)), STAFF),
        (ConfirmOrder(ORDER_IDS[0]), STAFF),
        (ExpireOrder(ORDER_IDS[0]), STAFF),
        (ReceiveStock("MUG", 1), STAFF),
        (CancelOrder(ORDER_IDS[0]), STAFF),
        (PlaceOrder(ORDER_IDS[1], "ann", (Wanted("MUG", 2),)), STAFF),
        (ConfirmOrder(ORDER_IDS[1]), STAFF),
        (FulfilOrder(ORDER_IDS[1]), STAFF),
        (CancelOrder(ORDER_IDS[1]), STAFF),
    ]
)
@example([(CreateProduct(PRODUCT_IDS[0], ProductFields("fancy", "Fancy things")), STAFF)])
@example([(CreateProduct(PRODUCT_IDS[1], ProductFields("fancy", "Fancy things"), (VARIANTS[0],) * 2), STAFF)])
def test_no_sequence_of_commands_breaks_an_invariant(sequence: list[tuple[Command, Context]]) -> None:
    shop = open_shop()
    log = run(shop, sequence)
    folded = open_shop()
    for event in log:
        evolve(folded, event)
    assert state_of(folded) == state_of(shop), "the log does not fold to the shop that wrote it"


@given(sequences, st.tuples(commands, people))
def test_the_same_command_on_the_same_shop_is_decided_the_same(
    sequence: list[tuple[Command, Context]], asked: tuple[Command, Context]
) -> None:
    shop = open_shop()
    run(shop, sequence)
    assert decided(shop, *asked) == decided(copy_of(shop), *asked)


@given(
    sequences,
    order_ids,
    st.sampled_from([(CancelOrder,), (ExpireOrder,), (ConfirmOrder, CancelOrder)]),
)
def test_an_order_that_is_undone_leaves_the_available_stock_unchanged(
    sequence: list[tuple[Command, Context]], order_id: UUID, moves: tuple[Callable[[UUID], Command], ...]
) -> None:
    shop = open_shop()
    run(shop, sequence)
    before = {sku: stock.available for sku, stock in shop.balances_of(STOCK).items()}
    currency = next((offer.currency for offer in shop.offers.values() if offer.on_sale), None)
    lines = [
        Wanted(sku, available)
        for sku, available in before.items()
        if available > 0 and shop.offers[sku].on_sale and shop.offers[sku].currency == currency
    ]
    if not lines or order_id in shop.orders:
        return
    run(shop, [(PlaceOrder(order_id, "ann", tuple(lines)), STAFF), *((move(order_id), STAFF) for move in moves)])
    assert {sku: stock.available for sku, stock in shop.balances_of(STOCK).items()} == before
