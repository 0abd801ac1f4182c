"""`docs/extending.md`, followed to the letter: a command, an entity, a ledger, a guard, two tasks, kinds of promotions,
a tax provider and a delivery provider are added to a copy of the checkout, an event is changed, and nothing else. The
suite's core passes in it, with the page's own tests; each of them ends with `verify`."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.recipes.copies import CHECKOUT, Copy, blocks
from tests.servers import folder

PAGE: Final = CHECKOUT / "docs" / "extending.md"

# These include the page's own tests; after each module of `tests/e2e` the tables are compared with the log.
CORE: Final = (
    "tests/unit/test_domain_orders.py",
    "tests/unit/test_domain_stock.py",
    "tests/unit/test_envelope.py",
    "tests/unit/test_quote_happy_hour.py",
    "tests/unit/test_quote_properties.py",
    "tests/unit/test_money_page.py",
    "tests/integration/test_past.py",
    "tests/integration/test_ownership.py",
    "tests/integration/test_suppliers.py",
    "tests/integration/test_points.py",
    "tests/integration/test_till.py",
    "tests/integration/test_packing.py",
    "tests/integration/test_labels.py",
    "tests/integration/test_levy.py",
    "tests/unit/test_tax_registry.py",
    "tests/integration/test_wagon.py",
    "tests/unit/test_delivery_registry.py",
    "tests/integration/test_tasks.py",
    "tests/integration/test_tasks_failing.py",
    "tests/integration/test_tasks_in_turn.py",
    "tests/e2e/test_api_order_life.py",
    "tests/e2e/test_api_roles.py",
)
MORE: Final = (
    "tests/unit",
    "tests/integration/test_migrations.py",
    "tests/integration/test_migrated_shops.py",
    "tests/integration/test_verify.py",
    "tests/integration/test_verify_entities.py",
    "tests/integration/test_patrol.py::test_all_that_is_compared_is_watched",
    "tests/integration/test_dead_letters.py",
    "tests/integration/test_races.py",
    "tests/e2e/test_api_orders.py",
    "tests/e2e/test_api_documents.py",
    "tests/e2e/test_api_events.py",
    "tests/e2e/test_asyncapi.py",
    "tests/e2e/test_ws.py",
)


@pytest.fixture(scope="module")
def copy() -> Iterator[Copy]:
    with folder() as path:
        made = Copy(path / "tidegate")
        made.follow(PAGE)
        made.regenerate_settings()
        for format_code in (("check", "--fix", "--quiet"), ("format", "--quiet")):
            made.run("ruff", *format_code)
        yield made


def _passed(copy: Copy, *tests: str) -> None:
    done = copy.run("python", "-m", "pytest", "-q", "-n", "0", "-m", "not campaign", *tests)
    assert done.returncode == 0, done.stdout[-20_000:]


def test_the_page_names_every_place() -> None:
    found = [*blocks(PAGE)]
    assert len(found) == PAGE.read_text().count("\n```") / 2
    for block in found:
        if block.after is not None:
            lines = (CHECKOUT / block.file).read_text().splitlines(keepends=True)
            assert lines.count(block.after) == 1, f"{block.file} does not have this line exactly once: {block.after}"


@pytest.mark.campaign
@pytest.mark.timeout(600)
def test_the_suites_core_passes_with_what_the_page_adds(copy: Copy) -> None:
    _passed(copy, *CORE)


@pytest.mark.plans
@pytest.mark.timeout(1_200)
def test_the_rest_passes_as_well(copy: Copy) -> None:
    for test in MORE:
        _passed(copy, test)


@pytest.mark.campaign
@pytest.mark.timeout(600)
def test_what_the_page_adds_is_clean(copy: Copy) -> None:
    for check in (("ruff", "check"), ("ruff", "format", "--check"), ("mypy",), ("lint-imports",)):
        done = copy.run(*check)
        assert done.returncode == 0, done.stdout[-20_000:]
