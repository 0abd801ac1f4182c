"""`tidegate watch`: the dashboard in a terminal, against a running system."""

import asyncio

from tests.e2e.shop import Shop


async def test_it_shows_what_happens(shop: Shop) -> None:
    sku = await shop.product(on_hand=5, price_minor=1_250)
    order = await shop.customer().placed({sku: 2})
    shown = await asyncio.to_thread(shop.system.tidegate, "watch", "--seconds", "3")
    assert shown.returncode == 0, shown.stderr
    for said in ("● live", "Orders/min", "Selling fast", "Accept to commit", "Live orders"):
        assert said in shown.stdout
    assert order["currency"] in shown.stdout


async def test_a_customer_is_refused(shop: Shop) -> None:
    token = shop.system.token("customer")
    refused = await asyncio.to_thread(shop.system.tidegate, "watch", "--seconds", "10", "--token", token)
    assert refused.returncode == 1
    assert "staff" in refused.stderr
