"""Who bought a gift card is sent its code, which is written nowhere else: none is withheld or lost."""

from uuid import UUID

import pytest

from domain.gift_cards import IssueGiftCard
from domain.model import Secret
from runtime.gift_card_codes import CardCodes
from runtime.settings import Settings
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.integration.test_mail import ANN, confirmed, mailing_to, sent
from tests.mailserver import MailServer


@pytest.mark.parametrize("key", ["the same", "another"])
async def test_who_bought_a_gift_card_is_sent_its_code(floor: Shopfloor, key: str) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        order_id = await confirmed(floor, "guest:a", "guest@example.com")
        card_id = floor.new_id()
        code = CardCodes(Settings()).of(card_id)
        stored = code.code_hash if key == "the same" else "0" * 64
        for order in (order_id, None):
            issue = IssueGiftCard(
                card_id if order else floor.new_id(), Secret(stored), code.shown, "GBP", 2_500, order_id=order
            )
            await floor.post(issue, actor=STAFF)
        await floor.drain()
        mails = (await sent(stage, server))[1:]
        if key == "another":
            ((_, error),) = await stage.dead_letters()
            assert (mails, "of another key" in error) == ([], True)
            return
        (mail,) = mails
        assert (mail["To"], mail["Subject"]) == ("guest@example.com", "Your gift card from order T-000001")
        assert code.code in mail.get_body(["plain"]).get_content()  # type: ignore[union-attr]
        assert code.code in mail.get_body(["html"]).get_content()  # type: ignore[union-attr]
        said = await floor.pool.fetch("SELECT data::text FROM events UNION ALL SELECT request::text FROM commands")
        assert not any(code.code in row[0] for row in said)


async def issue_cards(floor: Shopfloor, order_id: UUID, count: int) -> set[str]:
    """Issues cards that were bought with the order, and returns their codes."""
    card_ids = [floor.new_id() for _ in range(count)]
    codes = [CardCodes(Settings()).of(card_id) for card_id in card_ids]
    await floor.post_all(
        [
            IssueGiftCard(card_id, Secret(code.code_hash), code.shown, "GBP", 2_500, order_id=order_id)
            for card_id, code in zip(card_ids, codes, strict=True)
        ],
        actor=STAFF,
    )
    await floor.drain()
    return {code.code for code in codes}


async def test_every_card_that_was_bought_is_sent_however_many(floor: Shopfloor) -> None:
    limits = {"mails_max_per_recipient": 1, "mails_max_per_sender": 1}
    async with MailServer() as server, mailing_to(server, floor, **limits) as stage:
        codes = await issue_cards(floor, await confirmed(floor), 4)
        _, *mails = await sent(stage, server)
        told = [str(mail.get_body(["plain"]).get_content()) for mail in mails]  # type: ignore[union-attr]
        assert {code for code in codes if any(code in text for text in told)} == codes


@pytest.mark.parametrize("account", ["unconfirmed", "erased"])
async def test_a_card_whose_buyer_has_no_address_is_a_dead_letter(floor: Shopfloor, account: str) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        order_id = await confirmed(floor)
        change = "UPDATE accounts SET confirmed = false" if account == "unconfirmed" else "DELETE FROM accounts"
        await floor.pool.execute(f"{change} WHERE id = $1", ANN)
        (code,) = await issue_cards(floor, order_id, 1)
        assert await sent(stage, server) == []
        ((_, error),) = await stage.dead_letters()
        assert "has no address" in error
        assert code not in error
