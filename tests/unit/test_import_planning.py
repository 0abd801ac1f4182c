"""The commands that rows become, and which rows must wait for others."""

from typing import Any
from uuid import UUID

import pytest

from domain.catalogue import ACTIVE, DRAFT, Product, ProductFields, PutListing, Variant, VariantFields
from domain.ids import new_id, slot_of_id, slot_of_key
from domain.stock import SetStock
from runtime.listings.rows import BadRow, Row
from workers.jobs.planning import Known, Planned, Window

JOB = new_id(1_790_000_000_000, 7, 12_345)
LIGHTS = UUID(int=77)
LAMP = Product(UUID(int=1), "lamp", "A lamp", "Bright.", LIGHTS, ACTIVE, 3)
RED = Variant("LAMP-RED", LAMP.id, "Red", 250, "GBP", 300, 85, "400", {"colour": "red"}, True, True)
EMPTY = Known({}, {}, {"lights": LIGHTS})
SHOP = Known({"lamp": LAMP}, {"LAMP-RED": RED}, {"lights": LIGHTS})


def plan(known: Known, *rows: Row) -> list[Planned]:
    window = Window(JOB, known)
    return [window.plan(line, b"row", row) for line, row in enumerate(rows, start=2)]


def listing(known: Known, **said: Any) -> PutListing:
    (planned,) = plan(known, Row(**said))
    assert isinstance(planned.command, PutListing)
    return planned.command


def refusal(known: Known, *rows: Row) -> tuple[str, str | None]:
    *before, last = rows
    window = Window(JOB, known)
    for row in before:
        window.plan(1, b"", row)
    with pytest.raises(BadRow) as bad:
        window.plan(2, b"", last)
    return bad.value.code, bad.value.column


def waves(known: Known, *rows: Row) -> list[int]:
    return [planned.wave for planned in plan(known, *rows)]


def variant(sku: str, price_minor: int = 100, slug: str | None = None, **said: Any) -> Row:
    return Row(slug=slug, sku=sku, price_minor=price_minor, currency="GBP", **said)


def test_a_new_product_is_a_draft_in_the_slot_of_its_slug() -> None:
    command = listing(EMPTY, slug="new", name="New", category="lights")
    assert command.product == ProductFields("new", "New", "", LIGHTS, DRAFT)
    assert (command.variant, command.on_hand) == (None, None)
    assert slot_of_id(command.product_id) == slot_of_key("new")


def test_a_new_product_has_the_same_id_whenever_it_is_planned_in_this_import() -> None:
    command = listing(EMPTY, slug="new", name="New")
    assert listing(EMPTY, slug="new", name="New").product_id == command.product_id
    other = Window(new_id(1_790_000_000_000, 7, 54_321), EMPTY).plan(2, b"", Row(slug="new", name="New")).command
    assert isinstance(other, PutListing)
    assert other.product_id != command.product_id


def test_what_the_file_leaves_out_stays_as_it_is() -> None:
    assert listing(SHOP, slug="lamp", status="archived").product == ProductFields(
        "lamp", "A lamp", "Bright.", LIGHTS, "archived"
    )
    assert listing(SHOP, sku="LAMP-RED", price_minor=199).variant == VariantFields(
        "LAMP-RED", 199, "GBP", "Red", 300, 85, "400", {"colour": "red"}, True
    )


def test_a_category_may_be_named_by_its_path() -> None:
    known = Known({}, {}, {}, {("Home", "Lights"): LIGHTS}, {("Home", "x" * 300): ("category_too_deep", "Too deep.")})
    command = listing(known, slug="new", name="New", category_path=("Home", "Lights"))
    assert command.product == ProductFields("new", "New", "", LIGHTS, DRAFT)
    assert refusal(known, Row(slug="new", name="New", category_path=("Home", "Pots"))) == (
        "unknown_category",
        "category",
    )
    assert refusal(known, Row(slug="new", name="New", category_path=("Home", "x" * 300)))[0] == "category_too_deep"
    command = listing(SHOP, slug="lamp", category_path=None, name="A lamp")
    assert command.product is not None
    assert command.product.category_id is None


def test_an_empty_cell_clears_what_may_be_empty() -> None:
    command = listing(SHOP, slug="lamp", name="A lamp", description=None, category=None, status=None)
    assert command.product == ProductFields("lamp", "A lamp", "", None, ACTIVE)
    command = listing(
        SHOP, sku="LAMP-RED", price_minor=5, title=None, compare_at_minor=None, barcode=None, attributes=None
    )
    assert command.variant == VariantFields("LAMP-RED", 5, "GBP", "", None, 85, None, {}, True)


def test_a_row_with_only_a_count_sets_the_stock() -> None:
    (planned,) = plan(SHOP, Row(sku="LAMP-RED", on_hand=5))
    assert planned.command == SetStock("LAMP-RED", 5)
    (planned,) = plan(SHOP, Row(slug="lamp", sku="LAMP-RED", on_hand=5))
    assert planned.command == SetStock("LAMP-RED", 5)


def test_a_count_beside_a_product_is_of_the_variant_as_it_is() -> None:
    command = listing(SHOP, slug="lamp", name="Lamp", sku="LAMP-RED", on_hand=5)
    assert command.variant == VariantFields("LAMP-RED", 250, "GBP", "Red", 300, 85, "400", {"colour": "red"}, True)
    assert command.on_hand == 5


def test_a_variant_without_its_product_is_of_the_one_it_has() -> None:
    assert listing(SHOP, sku="LAMP-RED", price_minor=1).product_id == LAMP.id


@pytest.mark.parametrize(
    ("said", "code", "column"),
    [
        ({"slug": "new", "status": ACTIVE}, "value_missing", "name"),
        ({"slug": "new", "name": "New", "category": "gone"}, "unknown_category", "category"),
        ({"slug": "new", "sku": "A", "price_minor": 1, "currency": "GBP"}, "product_not_found", "slug"),
        ({"slug": "lamp", "sku": "A", "price_minor": 1}, "value_missing", "currency"),
        ({"slug": "lamp", "sku": "A", "currency": "GBP"}, "value_missing", "price_minor"),
        ({"sku": "A", "price_minor": 1, "currency": "GBP"}, "unknown_sku", "sku"),
        ({"sku": "A", "on_hand": 1}, "unknown_sku", "sku"),
        ({"sku": "LAMP-RED", "name": "Lamp"}, "nothing_named", "slug"),
    ],
)
def test_rows_that_this_shop_refuses(said: dict[str, Any], code: str, column: str) -> None:
    assert refusal(SHOP, Row(**said)) == (code, column)


def test_a_count_of_another_product_s_variant() -> None:
    table = Product(UUID(int=2), "table", "A table", "", None, ACTIVE, 1)
    known = Known({"lamp": LAMP, "table": table}, {"LAMP-RED": RED}, {})
    assert refusal(known, Row(slug="table", sku="LAMP-RED", on_hand=1)) == ("sku_taken", "sku")


def test_rows_of_one_new_product_are_applied_together() -> None:
    rows = [variant(f"SKU-{n}", slug="new", name="New") for n in range(3)]
    planned = plan(EMPTY, *rows, variant("SKU-9", slug="new"))
    assert [row.wave for row in planned] == [0, 0, 0, 0]
    commands = [row.command for row in planned]
    assert all(isinstance(command, PutListing) for command in commands)
    assert len({command.product_id for command in commands if isinstance(command, PutListing)}) == 1
    # The last one does not say what the product is like, but must not be the first without one either.
    assert isinstance(commands[-1], PutListing)
    assert commands[-1].product == ProductFields("new", "New")


def test_rows_about_the_same_sku_wait() -> None:
    count = Row(sku="SKU-1", on_hand=3)
    assert waves(EMPTY, variant("SKU-1", slug="new", name="New"), count, variant("SKU-1", 7), count) == [0, 1, 2, 3]


def test_a_product_that_changes_again_waits_for_all_earlier_rows_about_it() -> None:
    said = [
        variant("A", slug="new", name="First"),
        variant("A", slug="new", name="First"),
        Row(slug="new", name="Second"),
        variant("B", slug="new", name="Second"),
        Row(slug="other", name="Other"),
    ]
    assert waves(EMPTY, *said) == [0, 1, 2, 2, 0]


def test_what_an_earlier_row_said_counts() -> None:
    rows = [variant("A", 5, slug="new", name="New", title="One"), Row(sku="A", price_minor=7)]
    last = plan(EMPTY, *rows)[-1].command
    assert isinstance(last, PutListing)
    assert last.variant == VariantFields("A", 7, "GBP", "One")


def test_a_sku_of_another_product_stays_where_it_is() -> None:
    table = Product(UUID(int=2), "table", "A table", "", None, ACTIVE, 1)
    known = Known({"lamp": LAMP, "table": table}, {"LAMP-RED": RED}, {})
    taking, counting = plan(known, variant("LAMP-RED", slug="table"), Row(slug="lamp", sku="LAMP-RED", on_hand=1))
    assert isinstance(taking.command, PutListing)
    assert taking.command.product_id == table.id
    assert (counting.command, counting.wave) == (SetStock("LAMP-RED", 1), 1)


@pytest.mark.parametrize(
    ("said", "spoken_of"),
    [
        ({"name": "Lamp"}, {"name"}),
        ({"name": "Lamp", "description": "", "category": None}, {"name", "description", "category_id"}),
        ({"sku": "LAMP-RED", "price_minor": 5}, {"sku", "price_minor", "currency"}),
        ({"sku": "LAMP-RED", "title": "Rosy", "barcode": ""}, {"sku", "title", "barcode"}),
        ({"sku": "LAMP-RED", "active": False}, {"sku", "active"}),
    ],
)
def test_fields_that_a_row_does_not_mention_are_kept(said: dict[str, Any], spoken_of: set[str]) -> None:
    fields = {*ProductFields.__struct_fields__, *VariantFields.__struct_fields__}
    assert fields - {*listing(SHOP, slug="lamp", **said).kept} == spoken_of
