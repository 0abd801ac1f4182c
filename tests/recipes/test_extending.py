"""`docs/extending.md`, followed to the letter: a command, an entity, a ledger, a guard and two tasks are added to a
copy of the checkout, an event is changed, and nothing else. The suite's core passes in it, with the page's own tests;
`verify` ends every part of that."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.recipes.copies import CHECKOUT, Copy, blocks
from tests.servers import folder

PAGE: Final = CHECKOUT / "docs" / "extending.md"

# The page's own tests are in the first ones; after each module of `tests/e2e` the tables are compared with the log.
CORE: Final = (
    "tests/unit/test_domain_orders.py",
    "tests/unit/test_domain_stock.py",
    "tests/unit/test_envelope.py",
    "tests/integration/test_past.py",
    "tests/integration/test_ownership.py",
    "tests/integration/test_suppliers.py",
    "tests/integration/test_gift_cards.py",
    "tests/integration/test_till.py",
    "tests/integration/test_packing.py",
    "tests/integration/test_labels.py",
    "tests/integration/test_tasks.py",
    "tests/e2e/test_api_order_life.py",
    "tests/e2e/test_api_roles.py",
)
MORE: Final = (
    "tests/unit",
    "tests/integration/test_migrations.py",
    "tests/integration/test_verify.py",
    "tests/integration/test_verify_entities.py",
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
        if block.behind is not None:
            lines = (CHECKOUT / block.file).read_text().splitlines(keepends=True)
            assert lines.count(block.behind) == 1, f"{block.file} has not this line once: {block.behind}"


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
