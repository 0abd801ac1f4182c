"""Products and variants: what may be changed, with which events, and each reason to refuse it."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain.catalogue import (
    ACTIVE,
    ARCHIVED,
    DIGITAL,
    DRAFT,
    GIFT_CARD,
    GOODS,
    ChangeProduct,
    ChangeVariant,
    CreateProduct,
    ListingUnchanged,
    Product,
    ProductChanged,
    ProductCreated,
    ProductFields,
    PutListing,
    SetVariant,
    Variant,
    VariantAdded,
    VariantChanged,
    VariantFields,
)
from domain.categories import Category
from domain.ledgers import Balance
from domain.limits import PRODUCT_MAX_VARIANTS, VARIANT_MAX_ATTRIBUTES
from domain.model import Command, Event, Offer, Price, Rejection, Shop, decide, evolve
from domain.slugs import slug_from
from domain.stock import STOCK, StockAdjusted
from tests.contexts import context

ADMIN = context("ada", "staff")
KITCHEN, MUG, POT = UUID(int=1), UUID(int=2), UUID(int=3)


def shop() -> Shop:
    """A kitchen category, an active mug with one variant, and a pot that is a draft without any."""
    stands = Shop()
    stands.of(Category)[KITCHEN] = Category(KITCHEN, "kitchen", "Kitchen", None, 0, 1)
    apply(
        stands,
        CreateProduct(MUG, ProductFields("mug", "A mug", "", KITCHEN, ACTIVE), (VariantFields("M1", 100, "GBP"),)),
    )
    apply(stands, CreateProduct(POT, ProductFields("pot", "A pot")))
    return stands


def apply(stands: Shop, command: Command) -> list[Event]:
    """The command's events; they are applied to the shop."""
    decision = decide(stands, command, ADMIN)
    assert not isinstance(decision, Rejection), decision
    for event in decision:
        evolve(stands, event)
    return list(decision)


def refused(stands: Shop, command: Command) -> str:
    """The code of the refusal."""
    decision = decide(stands, command, ADMIN)
    assert isinstance(decision, Rejection), decision
    return decision.code


def test_a_product_is_created_with_its_variants() -> None:
    stands = shop()
    assert stands.of(Product)[MUG] == Product(MUG, "mug", "A mug", "", KITCHEN, ACTIVE, 2)
    variant = stands.of(Variant)["M1"]
    assert (variant.product_id, variant.price_minor, variant.on_sale) == (MUG, 100, True)
    assert stands.offers == {"M1": Offer("M1", 100, "GBP", True, product_id=MUG)}


def test_what_is_on_sale_follows_product_and_variant() -> None:
    stands = shop()

    def sold() -> tuple[bool, bool]:
        return stands.of(Variant)["M1"].on_sale, stands.offers["M1"].on_sale

    for status in (ARCHIVED, DRAFT, ACTIVE):
        (changed,) = apply(stands, ChangeProduct(MUG, {"status": status}))
        assert isinstance(changed, ProductChanged)
        assert sold() == (status == ACTIVE,) * 2
    apply(stands, SetVariant(MUG, VariantFields("M1", 100, "GBP", active=False)))
    assert sold() == (False, False)
    apply(stands, ChangeProduct(MUG, {"status": DRAFT}))
    apply(stands, ChangeProduct(MUG, {"status": ACTIVE}))
    assert sold() == (False, False)


def test_a_change_leaves_the_rest_of_an_offer_alone() -> None:
    """A batch loads whole offers for its checkouts, and may change their variants before it decides these."""
    stands = shop()
    prices, way = (Price("EUR", 120),), (KITCHEN,)
    stands.offers["M1"] = msgspec.structs.replace(stands.offers["M1"], prices=prices, category_ids=way)
    fields = VariantFields("M1", 100, "GBP", title="Large", weight_grams=5, kind=DIGITAL, tax_class="books")
    apply(stands, SetVariant(MUG, fields))
    assert stands.offers["M1"] == Offer("M1", 100, "GBP", True, prices, MUG, way, "books", 5, digital=True)


def test_a_change_of_one_product_leaves_the_others_alone() -> None:
    stands = shop()
    apply(stands, SetVariant(POT, VariantFields("P1", 500, "GBP")))
    apply(stands, ChangeProduct(MUG, {"status": ARCHIVED}))
    apply(stands, ChangeProduct(POT, {"status": ACTIVE}))
    assert {sku: offer.on_sale for sku, offer in stands.offers.items()} == {"M1": False, "P1": True}


def test_a_price_is_changed_and_another_variant_added() -> None:
    stands = shop()
    (changed,) = apply(stands, SetVariant(MUG, VariantFields("M1", 90, "GBP", compare_at_minor=100)))
    assert isinstance(changed, VariantChanged)
    (added,) = apply(stands, SetVariant(MUG, VariantFields("M2", 95, "GBP")))
    assert isinstance(added, VariantAdded)
    assert stands.of(Product)[MUG].version == 4
    assert {sku: offer.price_minor for sku, offer in stands.offers.items()} == {"M1": 90, "M2": 95}


def test_the_events_of_a_row_create_before_they_change() -> None:
    """So the first event says whether the row created anything."""
    stands = shop()
    row = PutListing(MUG, ProductFields("mug", "Another mug", "", KITCHEN, DRAFT), VariantFields("M9", 100, "GBP"), 3)
    told = apply(stands, row)
    assert [type(event) for event in told] == [VariantAdded, ProductChanged, StockAdjusted]
    assert stands.of(Variant)["M9"].on_sale is False
    told = apply(stands, PutListing(UUID(int=99), ProductFields("pot-too", "A pot"), VariantFields("P9", 100, "GBP")))
    assert [type(event) for event in told] == [ProductCreated, VariantAdded]


@pytest.mark.parametrize(
    "command",
    [
        ChangeProduct(MUG, {}),
        ChangeProduct(MUG, {"name": "A mug", "slug": "mug", "category_id": str(KITCHEN), "status": ACTIVE}),
        SetVariant(MUG, VariantFields("M1", 100, "GBP")),
        ChangeVariant(MUG, "M1", {}),
        ChangeVariant(MUG, "M1", {"price_minor": 100, "barcode": None, "attributes": {"size": None}}),
        PutListing(MUG, ProductFields("mug", "A mug", "", KITCHEN, ACTIVE), VariantFields("M1", 100, "GBP")),
    ],
)
def test_a_change_to_the_current_state_is_no_change(command: Command) -> None:
    stands = shop()
    before = stands.of(Product)[MUG]
    assert apply(stands, command) == [ListingUnchanged(MUG)]
    assert stands.of(Product)[MUG] is before


def test_fields_that_a_change_leaves_out_stay() -> None:
    stands = shop()
    whole = VariantFields("M1", 90, "GBP", "Blue", 100, 340, "5012345678900", {"colour": "blue", "size": "S"}, True)
    apply(stands, SetVariant(MUG, whole))
    (changed,) = apply(stands, ChangeVariant(MUG, "M1", {"price_minor": 80}))
    assert isinstance(changed, VariantChanged)
    assert (changed.price_minor, changed.title, changed.barcode) == (80, "Blue", "5012345678900")
    apply(stands, ChangeVariant(MUG, "M1", {"barcode": None, "attributes": {"size": None, "fit": "wide"}}))
    variant = stands.of(Variant)["M1"]
    assert (variant.barcode, variant.weight_grams) == (None, 340)
    assert variant.attributes == {"colour": "blue", "fit": "wide"}
    assert stands.offers["M1"].price_minor == 80


def test_a_variant_is_changed_in_its_product() -> None:
    stands = shop()
    assert refused(stands, ChangeVariant(POT, "M1", {"price_minor": 1})) == "variant_not_found"
    assert refused(stands, ChangeVariant(MUG, "M9", {"price_minor": 1})) == "variant_not_found"
    assert refused(stands, ChangeVariant(UUID(int=9), "M1", {})) == "product_not_found"
    assert refused(stands, ChangeVariant(MUG, "M1", {}, version=1)) == "version_conflict"
    attributes = {str(number): "x" for number in range(VARIANT_MAX_ATTRIBUTES)}
    apply(stands, ChangeVariant(MUG, "M1", {"attributes": attributes}))
    assert refused(stands, ChangeVariant(MUG, "M1", {"attributes": {"one": "more"}})) == "too_many_attributes"
    apply(stands, ChangeVariant(MUG, "M1", {"attributes": {"0": None, "one": "more"}}))


def test_a_slug_belongs_to_one_product() -> None:
    stands = shop()
    assert refused(stands, CreateProduct(UUID(int=9), ProductFields("mug", "Another"))) == "slug_taken"
    assert refused(stands, ChangeProduct(POT, {"slug": "mug"})) == "slug_taken"
    assert refused(stands, PutListing(UUID(int=9), ProductFields("mug", "Another"))) == "slug_taken"
    apply(stands, ChangeProduct(MUG, {"slug": "cup"}))
    apply(stands, ChangeProduct(POT, {"slug": "mug"}))
    assert refused(stands, CreateProduct(UUID(int=9), ProductFields("cup", "Another"))) == "slug_taken"
    assert refused(stands, ChangeProduct(MUG, {"slug": "mug"})) == "slug_taken"
    apply(stands, CreateProduct(UUID(int=9), ProductFields("pot", "Another")))


def test_a_product_loaded_after_another_was_created_keeps_its_slug() -> None:
    stands = shop()
    other = UUID(int=9)
    stands.of(Product)[other] = Product(other, "kettle", "Kettle", "", None, ACTIVE, 1)
    assert refused(stands, ChangeProduct(POT, {"slug": "kettle"})) == "slug_taken"


def test_a_sku_belongs_to_one_product() -> None:
    stands = shop()
    variant = VariantFields("M1", 1, "GBP")
    assert refused(stands, SetVariant(POT, variant)) == "sku_taken"
    assert refused(stands, PutListing(POT, None, variant)) == "sku_taken"
    assert refused(stands, CreateProduct(UUID(int=9), ProductFields("new", "New"), (variant,))) == "sku_taken"
    twice = (VariantFields("N1", 1, "GBP"), VariantFields("N1", 2, "GBP"))
    assert refused(stands, CreateProduct(UUID(int=9), ProductFields("new", "New"), twice)) == "sku_taken"


@pytest.mark.parametrize(("kind", "other"), [(GOODS, GIFT_CARD), (DIGITAL, GIFT_CARD), (GIFT_CARD, GOODS)])
def test_no_variant_becomes_or_stops_being_a_gift_card(kind: str, other: str) -> None:
    stands = shop()
    apply(stands, SetVariant(MUG, VariantFields("M2", 100, "GBP", kind=kind)))
    changed = VariantFields("M2", 100, "GBP", kind=other)
    assert refused(stands, SetVariant(MUG, changed)) == "variant_kind_fixed"
    assert refused(stands, PutListing(MUG, None, changed)) == "variant_kind_fixed"
    assert refused(stands, ChangeVariant(MUG, "M2", {"kind": other})) == "variant_kind_fixed"
    assert apply(stands, PutListing(MUG, None, changed, kept=("kind",))) == [ListingUnchanged(MUG)]
    apply(stands, ChangeVariant(MUG, "M2", {"kind": kind, "price_minor": 90}))


def test_other_variants_may_change_their_kind() -> None:
    stands = shop()
    apply(stands, ChangeVariant(MUG, "M1", {"kind": DIGITAL}))
    assert stands.of(Variant)["M1"].kind == DIGITAL


def test_the_number_of_variants_is_bounded() -> None:
    stands = shop()
    for number in range(PRODUCT_MAX_VARIANTS - 1):
        apply(stands, SetVariant(MUG, VariantFields(f"N{number}", 1, "GBP")))
    more = VariantFields("MORE", 1, "GBP")
    assert refused(stands, SetVariant(MUG, more)) == "too_many_variants"
    assert refused(stands, PutListing(MUG, None, more)) == "too_many_variants"
    apply(stands, SetVariant(MUG, VariantFields("N0", 2, "GBP")))
    apply(stands, SetVariant(POT, more))


def test_a_category_must_exist_when_a_product_enters_it() -> None:
    stands = shop()
    nowhere = UUID(int=9)
    assert refused(stands, CreateProduct(nowhere, ProductFields("new", "New", "", nowhere))) == "unknown_category"
    assert refused(stands, ChangeProduct(POT, {"category_id": str(nowhere)})) == "unknown_category"
    stands.of(Category).clear()  # no category is loaded for a product that stays where it is
    apply(stands, ChangeProduct(MUG, {"name": "Another name"}))
    apply(stands, ChangeProduct(MUG, {"category_id": None}))


def test_a_change_of_an_older_version_is_refused() -> None:
    stands = shop()
    version = stands.of(Product)[MUG].version
    apply(stands, ChangeProduct(MUG, {"name": "First"}, version))
    assert refused(stands, ChangeProduct(MUG, {"name": "Late"}, version)) == "version_conflict"
    assert refused(stands, SetVariant(MUG, VariantFields("M1", 1, "GBP"), version)) == "version_conflict"


@pytest.mark.parametrize(
    "command",
    [
        ChangeProduct(UUID(int=9), {"name": "Nothing"}),
        SetVariant(UUID(int=9), VariantFields("N1", 1, "GBP")),
        PutListing(UUID(int=9), None, VariantFields("N1", 1, "GBP")),
    ],
)
def test_missing_products_and_variants_cannot_change(command: Command) -> None:
    assert refused(shop(), command) == "product_not_found"


def test_a_listing_creates_what_is_missing_and_counts_what_exists() -> None:
    stands, new = shop(), UUID(int=9)
    listing = PutListing(new, ProductFields("new", "New", status=ACTIVE), VariantFields("N1", 5, "GBP"), 7)
    assert [type(event) for event in apply(stands, listing)] == [ProductCreated, VariantAdded, StockAdjusted]
    assert (stands.balance(STOCK, "N1"), stands.offers["N1"].on_sale) == (Balance(7), True)
    assert apply(stands, listing) == [ListingUnchanged(new)]
    (moved,) = apply(stands, PutListing(new, None, VariantFields("N1", 5, "GBP"), 4))
    assert moved == StockAdjusted("N1", -3, "counted")


def fields(**said: Any) -> VariantFields:
    """As a worker decodes them, which validates them."""
    complete = {**msgspec.structs.asdict(VariantFields("N1", 5, "GBP")), **said}
    return msgspec.convert([*complete.values()], VariantFields)


@pytest.mark.parametrize(
    "said",
    [
        {"sku": "n1"},
        {"sku": "N 1"},
        {"price_minor": -1},
        {"price_minor": 10**10 + 1},
        {"currency": "gbp"},
        {"currency": "XXX"},
        {"title": "\x00"},
        {"title": "x" * 256},
        {"compare_at_minor": -1},
        {"weight_grams": -1},
        {"barcode": ""},
        {"barcode": "x" * 65},
        {"attributes": {"\x00": "x"}},
        {"attributes": {"x": "\x1b"}},
        {"attributes": {"x": "x" * 101}},
        {"attributes": {str(number): "x" for number in range(21)}},
    ],
)
def test_invalid_variants(said: dict[str, Any]) -> None:
    fields()
    with pytest.raises(msgspec.ValidationError):
        fields(**said)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("A mug", "a-mug"),
        ("  Crème brûlée, 2 l! ", "creme-brulee-2-l"),
        ("Cook's & Sons\u2019", "cooks-sons"),
        ("\ufb01ne", "fine"),
        ("Große Straßenlampe", "grosse-strassenlampe"),
        ("Smørrebrød, Łódź, Œuvre", "smorrebrod-lodz-oeuvre"),
        ("茶碗", ""),
        ("-- --", ""),
        ("x" * 119 + " y", "x" * 119),
        ("x" * 300, "x" * 120),
    ],
)
def test_a_slug_from_a_name(name: str, slug: str) -> None:
    assert slug_from(name) == slug
