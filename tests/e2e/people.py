"""People who sign in, for tests of accounts: how they get tokens, and whether the gateways serve or refuse them."""

import asyncio
import itertools
import json
import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from tests.e2e.api import API, Answer, Client
from tests.e2e.shop import Shop
from tests.system import eventually_seen

AUTH: Final = "/api/auth"
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
JSON: Final = {"Content-Type": "application/json"}

REFUSED_WITHIN_SECONDS: Final = 1.0
_MAIL_SECONDS: Final = 15.0
# Enough concurrent requests, each on its own connection, for both gateways to get some.
_ASKED_AT_ONCE: Final = 12

_numbers = itertools.count(1)


class Person(NamedTuple):
    """A person with an account."""

    account_id: str
    email: str
    password: str


class Tokens(NamedTuple):
    """The tokens of a sign-in or refresh, and the API as their holder sees it."""

    client: Client
    access_token: str
    refresh_token: str
    scope: str


def admin(shop: Shop) -> Client:
    return shop.client("admin", "shop-admin")


async def newcomer(shop: Shop, role: str = "customer") -> Person:
    """A person whose account an admin has just created."""
    number = next(_numbers)
    email, password = f"person-{number}@example.com", f"the password of {number}"
    body = {"email": email, "name": f"Person {number}", "password": password, "role": role}
    account = (await admin(shop).post("/users", body)).ok(201)
    return Person(account["id"], email, password)


async def ask_for_tokens(shop: Shop, **fields: str) -> Answer:
    """POST /api/auth/token with these fields and the grant type."""
    data = urlencode({"grant_type": "password", **fields}).encode()
    return await shop.anybody.request("POST", f"{AUTH}/token", data=data, headers=FORM)


async def sign_in(shop: Shop, person: Person, scope: str = "") -> Tokens:
    return _tokens(shop, await ask_for_tokens(shop, username=person.email, password=person.password, scope=scope))


async def ask_to_refresh(shop: Shop, refresh_token: str) -> Answer:
    return await _post(shop.anybody, "/refresh", {"refresh_token": refresh_token})


async def refresh(shop: Shop, tokens: Tokens) -> Tokens:
    return _tokens(shop, await ask_to_refresh(shop, tokens.refresh_token))


async def sign_out(client: Client, refresh_token: str | None = None) -> Answer:
    return await _post(client, "/logout", None if refresh_token is None else {"refresh_token": refresh_token})


async def register(shop: Shop, body: Any) -> Answer:
    return await _post(shop.anybody, "/register", body)


async def confirm(shop: Shop, token: str, password: str) -> Answer:
    return await _post(shop.anybody, "/confirm", {"token": token, "password": password})


async def forget(shop: Shop, email: str) -> Answer:
    return await _post(shop.anybody, "/password/forgot", {"email": email})


async def reset(shop: Shop, token: str, new_password: str) -> Answer:
    return await _post(shop.anybody, "/password/reset", {"token": token, "new_password": new_password})


async def mails(shop: Shop, email: str, count: int) -> list[EmailMessage]:
    """The mails to this address, oldest first, once there are this many; there may be no more."""
    folder = shop.system.home / "mail"

    async def arrived() -> list[EmailMessage]:
        found = [message_from_bytes(path.read_bytes(), policy=default) for path in sorted(folder.glob("*.eml"))]
        to = [mail for mail in found if isinstance(mail, EmailMessage) and mail["To"].addresses[0].addr_spec == email]
        assert len(to) <= count, [mail["Subject"] for mail in to]
        return to if len(to) == count else []

    return await eventually_seen(f"{count} mails to {email}", arrived, within_seconds=_MAIL_SECONDS)


def token_in(mail: EmailMessage) -> str:
    """The token in a mail."""
    plain = mail.get_body(["plain"])
    assert isinstance(plain, EmailMessage)
    found = re.search(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", plain.get_content())
    assert found is not None, plain.get_content()
    return found[0]


async def registered(shop: Shop, body: dict[str, str]) -> Person:
    """A person who has registered and confirmed the address with the token from the mail."""
    (await register(shop, body)).ok()
    email = body["email"].lower()
    (mail,) = await mails(shop, email, 1)
    assert (await confirm(shop, token_in(mail), body["password"])).status == 204
    account_id = await shop.database.fetchval("SELECT id FROM accounts WHERE email = $1", email)
    return Person(str(account_id), email, body["password"])


async def is_refused_everywhere(client: Client, path: str = "/me") -> None:
    """Fails unless every gateway process refuses the client within a second."""

    async def all_refuse() -> bool:
        answers = await asyncio.gather(*(client.get(path) for _ in range(_ASKED_AT_ONCE)))
        return all(answer.status == 401 for answer in answers)

    await eventually_seen("a refusal by every gateway", all_refuse, within_seconds=REFUSED_WITHIN_SECONDS)


async def is_served_everywhere(client: Client, path: str = "/me") -> None:
    for answer in await asyncio.gather(*(client.get(path) for _ in range(_ASKED_AT_ONCE))):
        answer.ok()


async def _post(client: Client, path: str, body: Any) -> Answer:
    data = None if body is None else json.dumps(body).encode()
    return await client.request("POST", AUTH + path, data=data, headers=JSON if data else None)


def _tokens(shop: Shop, answer: Answer) -> Tokens:
    given = answer.ok()
    assert given["token_type"] == "bearer"
    assert given["expires_in"] == 900
    assert answer.headers["Cache-Control"] == "no-store"
    client = shop.with_token(given["access_token"])
    return Tokens(client, given["access_token"], given["refresh_token"], given["scope"])


async def change_password(client: Client, current: str, new: str) -> Answer:
    body = json.dumps({"current_password": current, "new_password": new}).encode()
    return await client.request("POST", f"{API}/me/password", data=body, headers=JSON)
