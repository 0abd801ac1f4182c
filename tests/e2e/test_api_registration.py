"""Registration by mail: what confirms an address, what resets a password, and that nobody learns who has an account."""

import asyncio
from typing import Any

from runtime.settings import DEVELOPMENT_SECRET
from runtime.signing_keys import KeyRing
from runtime.tokens import CONFIRM_AUDIENCE, RESET_AUDIENCE, Link, link_of, mint_link
from tests.e2e.api import Answer
from tests.e2e.people import (
    ask_for_tokens,
    confirm,
    forget,
    is_refused_everywhere,
    mails,
    newcomer,
    refresh,
    register,
    registered,
    reset,
    sign_in,
    token_in,
)
from tests.e2e.shop import Shop

KEYS = KeyRing.shared(DEVELOPMENT_SECRET, development=True)


def body(email: str, **changes: Any) -> dict[str, Any]:
    return {"email": email, "name": "Ada", "password": "a password of hers", **changes}


def same(one: Answer, other: Answer) -> None:
    """Fails if the answers can be told apart."""
    assert (one.status, one.body) == (other.status, other.body)
    assert {name for name in one.headers if name != "Date"} == {name for name in other.headers if name != "Date"}


async def test_nobody_signs_in_before_the_address_is_confirmed(shop: Shop) -> None:
    email = "unconfirmed@example.com"
    (await register(shop, body(email))).ok()
    wrong = await ask_for_tokens(shop, username=email, password="another password")
    right = await ask_for_tokens(shop, username=email, password="a password of hers")
    same(wrong, right)  # or it would reveal whether the account existed
    right.problem(400, "invalid_grant")
    (mail,) = await mails(shop, email, 1)
    assert mail["Subject"] == "Confirm your address"
    token = token_in(mail)
    (await confirm(shop, token, "another password")).problem(403, "wrong_password")
    assert (await confirm(shop, token, "a password of hers")).status == 204
    (await ask_for_tokens(shop, username=email, password="a password of hers")).ok()
    (await confirm(shop, token, "a password of hers")).problem(422, "invalid_link")


async def test_registering_a_taken_address_tells_only_its_owner(shop: Shop) -> None:
    person = await newcomer(shop)
    fresh = await register(shop, body("fresh@example.com"))
    taken = await register(shop, body(person.email, name="Eve", password="a password of eve's"))
    same(fresh, taken)
    (mail,) = await mails(shop, person.email, 1)
    assert mail["Subject"] == "You already have an account"
    (await ask_for_tokens(shop, username=person.email, password="a password of eve's")).problem(400, "invalid_grant")
    assert (await (await sign_in(shop, person)).client.get("/me")).ok()["name"] != "Eve"


async def test_the_owner_of_the_mailbox_decides_which_registration_counts(shop: Shop) -> None:
    """An attacker registers a stranger's address first, and again after its owner has."""
    email = "owner@example.com"
    (await register(shop, body(email, password="what eve knows"))).ok()
    await mails(shop, email, 1)
    (await register(shop, body(email, password="what ada knows"))).ok()
    first, second = await mails(shop, email, 2)
    (await confirm(shop, token_in(first), "what eve knows")).problem(422, "invalid_link")
    (await register(shop, body(email, password="what eve knows"))).ok()
    third = (await mails(shop, email, 3))[-1]
    (await confirm(shop, token_in(second), "what ada knows")).problem(422, "invalid_link")
    # The owner clicks on the newest link, whose password is not hers.
    (await confirm(shop, token_in(third), "what ada knows")).problem(403, "wrong_password")
    (await forget(shop, email)).ok()
    assert (await reset(shop, token_in((await mails(shop, email, 4))[-1]), "what ada knows")).status == 204
    (await ask_for_tokens(shop, username=email, password="what eve knows")).problem(400, "invalid_grant")
    (await ask_for_tokens(shop, username=email, password="what ada knows")).ok()


async def test_a_password_is_reset_by_mail_once_and_ends_all_sessions(shop: Shop) -> None:
    person = await registered(shop, body("forgetful@example.com"))
    there = await sign_in(shop, person)
    same(await forget(shop, person.email), await forget(shop, "nobody-at-all@example.com"))
    mail = (await mails(shop, person.email, 2))[-1]
    assert mail["Subject"] == "Reset your password"
    token = token_in(mail)
    answers = await asyncio.gather(*(reset(shop, token, f"the new password {n}") for n in range(3)))
    assert sorted(answer.status for answer in answers) == [204, 422, 422]
    (await reset(shop, token, "one more time")).problem(422, "invalid_link")
    await is_refused_everywhere(there.client)
    (await ask_for_tokens(shop, username=person.email, password=person.password)).problem(400, "invalid_grant")
    won = [answer.status for answer in answers].index(204)
    await refresh(shop, await sign_in(shop, person._replace(password=f"the new password {won}")))


async def test_a_link_of_another_kind_or_an_expired_one_is_refused(shop: Shop) -> None:
    email = "late@example.com"
    (await register(shop, body(email))).ok()
    (mail,) = await mails(shop, email, 1)
    token = token_in(mail)
    link = link_of(token, KEYS, CONFIRM_AUDIENCE)
    now = int(mail["Date"].datetime.timestamp())
    over = mint_link(KEYS, CONFIRM_AUDIENCE, link, issued_at=now - 86_400, lifetime_seconds=86_000)
    other = mint_link(KEYS, RESET_AUDIENCE, link, issued_at=now, lifetime_seconds=3_600)
    ahead = mint_link(KEYS, CONFIRM_AUDIENCE, Link(link.account_id, 7), issued_at=now, lifetime_seconds=3_600)
    for bad in (over, other, ahead, "abc", token[:-3], shop.system.token()):
        (await confirm(shop, bad, "a password of hers")).problem(422, "invalid_link")
    (await reset(shop, token, "a password of hers")).problem(422, "invalid_link")
    (await shop.with_token(token).get("/me")).problem(401, "invalid_token")
    assert (await confirm(shop, token, "a password of hers")).status == 204
