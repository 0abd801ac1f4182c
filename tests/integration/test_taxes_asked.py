"""However often somebody looks at a checkout whose taxes are not known, and however long the mailboxes are, they are
asked for once as it stands."""

import pytest

from domain.checkout_taxes import AskTaxes
from domain.quote.basket import TaxQuestion
from domain.quote.places import Place
from gateway.edge import Edge
from gateway.routes import checkouts
from runtime.settings import Settings
from tests.integration.shopfloor import Shopfloor

_QUESTION = TaxQuestion("remote", "GBP", Place("US", "TX", "78701"), False, None, False, ())


async def test_repeated_reads_post_no_further_command(floor: Shopfloor, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 1_700_000_000.0
    monkeypatch.setattr(checkouts, "time", lambda: moment)
    config = Settings().model_copy(update={"database_url": floor.database_url, "redis_url": floor.redis_url})
    asked = AskTaxes(floor.new_id(), 1, _QUESTION.sealed())

    async def waiting() -> int:
        return sum([await floor.waiting(mailbox) for mailbox in range(config.mailbox_count)])

    async with Edge(config) as edge:
        for _ in range(3):
            await checkouts._have_asked(edge, [asked], 1)
        assert await waiting() == 1
        moment += 60
        await checkouts._have_asked(edge, [asked], 1)
        assert await waiting() == 2, "what was lost is asked for again"
        for _ in range(2):
            await checkouts._have_asked(edge, [asked], 2)
        assert await waiting() == 3, "and at once, if the checkout has changed since"
