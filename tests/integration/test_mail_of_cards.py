"""The buyer of a gift card is sent its code, which is written nowhere else: none is withheld or lost."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain.gift_cards import DisableGiftCard, IssueGiftCard, MailGiftCard
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
            assert (mails, "belongs to another key" in error) == ([], True)
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


async def test_a_card_of_an_order_that_does_not_exist_is_a_dead_letter(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        await issue_cards(floor, floor.new_id(), 1)
        assert await sent(stage, server) == []
        ((_, error),) = await stage.dead_letters()
        assert "there is no order" in error


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


async def issued(floor: Shopfloor, order_id: UUID | None, expires_at: datetime | None = None) -> tuple[UUID, str]:
    """Issues a card; returns its id and its code."""
    card_id = floor.new_id()
    code = CardCodes(Settings()).of(card_id)
    secret = Secret(code.code_hash)
    await floor.post(IssueGiftCard(card_id, secret, code.shown, "GBP", 2_500, expires_at, order_id), actor=STAFF)
    await floor.drain()
    return card_id, code.code


async def test_who_lost_the_mail_is_sent_the_same_code_again_and_the_log_says_who_asked(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        card_id, code = await issued(floor, await confirmed(floor, "guest:a", "guest@example.com"))
        await floor.post(MailGiftCard(card_id), actor=STAFF)
        await floor.drain()
        _, first, again = await sent(stage, server)
        for mail in (first, again):
            assert (mail["To"], mail["Subject"]) == ("guest@example.com", "Your gift card from order T-000001")
            assert code in mail.get_body(["plain"]).get_content()  # type: ignore[union-attr]
        assert first["Message-ID"] != again["Message-ID"]
        event = await floor.pool.fetchrow(
            "SELECT subject, actor, data::text FROM events WHERE type = 'gift_card.mail_requested'"
        )
        assert (event["subject"], event["actor"]) == (str(card_id), STAFF.principal)
        said = await floor.pool.fetch("SELECT data::text FROM events UNION ALL SELECT request::text FROM commands")
        assert not any(code in row[0] or "guest@example.com" in row[0] for row in said)


async def test_staff_who_ask_for_the_mail_of_an_erased_buyer_cause_no_dead_letter(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        card_id, _ = await issued(floor, await confirmed(floor))
        assert len(await sent(stage, server)) == 2, "the order's and the card's"
        await floor.pool.execute("DELETE FROM accounts WHERE id = $1", ANN)
        await floor.post(MailGiftCard(card_id), actor=STAFF)
        await floor.drain()
        assert len(await sent(stage, server)) == 2
        assert await stage.dead_letters() == []


async def test_only_the_first_mail_with_a_code_is_beyond_all_limits(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor, mails_max_per_recipient=2) as stage:
        card_id, _ = await issued(floor, await confirmed(floor))
        for _ in range(3):
            await floor.post(MailGiftCard(card_id), actor=STAFF)
        await floor.drain()
        assert len(await sent(stage, server)) == 3, "the order's, the card's, and the card's once more"


async def test_a_card_that_nobody_bought_or_that_is_good_no_more_is_not_mailed(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        order_id = await confirmed(floor)
        late = datetime.now(UTC) - timedelta(seconds=1)
        (by_staff, _), (disabled, _), (expired, _), (expires, _), (good, _) = [
            await issued(floor, None),
            await issued(floor, order_id),
            await issued(floor, order_id, late),
            await issued(floor, order_id, datetime.now(UTC) + timedelta(days=1)),
            await issued(floor, order_id),
        ]
        ids = by_staff, disabled, expired, floor.new_id(), expires, good
        commands = [DisableGiftCard(disabled), *map(MailGiftCard, ids)]
        posted = await floor.post_all([*commands, DisableGiftCard(good)], actor=STAFF)
        await floor.drain()
        refused = "rejected: gift_card_not_mailable"
        assert await floor.statuses(posted) == [
            "applied",
            refused,
            refused,
            refused,
            "rejected: gift_card_not_found",
            *["applied"] * 3,
        ]
        # Disabled or expired before the reaction came to it: neither the first mail nor the other.
        await floor.pool.execute("UPDATE gift_cards SET expires_at = $2 WHERE id = $1", expires, late)
        assert [mail["Subject"] for mail in await sent(stage, server)] == ["Your order T-000001 is confirmed"]
        assert await stage.dead_letters() == []
