"""One field, one rule: a value is accepted or refused alike, and in the same words, wherever it enters."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import jwt
import pytest
from click.testing import CliRunner

from domain.fields import catalogue, moments, people, stock, webhooks
from ops.cli.token import token
from ops.cli.user import create
from tests.e2e.api import API
from tests.e2e.catalogue import Catalogue
from tests.e2e.doors import NOBODY, at_body, at_import, at_option, at_query, judged, sentence
from tests.e2e.importing import JSON_LINES, errors, finished, send
from tests.e2e.people import AUTH, JSON, admin, ask_for_tokens, confirm, mails, newcomer, register, sign_in, token_in
from tests.e2e.shop import Shop
from tests.nasty import NASTY

CASES: Final = Path(__file__).parents[1] / "data" / "cases"


PRODUCT: Final = {"name": "A door", "variants": [{"sku": "DOOR-1", "price_minor": 5, "currency": "GBP"}]}
VARIANT: Final = {"price_minor": 5, "currency": "GBP"}
ORDER: Final = {"lines": [{"sku": "NO-SUCH-DOOR", "quantity": 1}], "email": "guest@example.com"}
# With an invalid password, so that no account is created.
PERSON: Final = {"email": "taken@example.com", "name": "A person", "password": "short"}
KEY: Final = {"name": "A key", "role": "staff", "scopes": ["no:scope"]}
WEBHOOK: Final = {"url": "http://127.0.0.1:9/", "event_types": ["order.*"]}
REPORT: Final = {"kind": "sales", "by": "day", "from": "2026-01-01", "to": "2026-02-01"}

BODIES: Final[Mapping[str, tuple[Any, list[tuple[str, str, Any, str]]]]] = {
    "email": (
        people.EMAIL,
        [
            ("POST", f"{API}/users", PERSON, "/email"),
            ("POST", f"{AUTH}/register", PERSON, "/email"),
            ("POST", f"{API}/orders", ORDER, "/email"),
        ],
    ),
    "account name": (
        people.ACCOUNT_NAME,
        [
            ("POST", f"{API}/users", PERSON, "/name"),
            ("POST", f"{AUTH}/register", PERSON, "/name"),
            ("PATCH", f"{API}/users/{NOBODY}", {}, "/name"),
        ],
    ),
    "key name": (people.KEY_NAME, [("POST", f"{API}/keys", KEY, "/name")]),
    "product name": (
        catalogue.NAME,
        [
            ("POST", f"{API}/products", PRODUCT, "/name"),
            ("PATCH", f"{API}/products/{NOBODY}", {}, "/name"),
            ("POST", f"{API}/categories", {"parent_id": NOBODY}, "/name"),
            ("PATCH", f"{API}/categories/{NOBODY}", {}, "/name"),
        ],
    ),
    "slug": (
        catalogue.SLUG,
        [
            ("POST", f"{API}/products", PRODUCT, "/slug"),
            ("PATCH", f"{API}/products/{NOBODY}", {}, "/slug"),
            ("POST", f"{API}/categories", {"name": "A door", "parent_id": NOBODY}, "/slug"),
            ("PATCH", f"{API}/categories/{NOBODY}", {}, "/slug"),
        ],
    ),
    "description": (
        catalogue.DESCRIPTION,
        [
            ("POST", f"{API}/products", PRODUCT, "/description"),
            ("PATCH", f"{API}/products/{NOBODY}", {}, "/description"),
        ],
    ),
    "status": (
        catalogue.STATUS,
        [("POST", f"{API}/products", PRODUCT, "/status"), ("PATCH", f"{API}/products/{NOBODY}", {}, "/status")],
    ),
    "sku": (
        catalogue.SKU,
        [("POST", f"{API}/products", PRODUCT, "/variants/0/sku"), ("POST", f"{API}/orders", ORDER, "/lines/0/sku")],
    ),
    "reason": (stock.REASON, [("POST", f"{API}/inventory/NONE/adjustments", {"change": 1}, "/reason")]),
    "reference": (stock.REFERENCE, [("POST", f"{API}/inventory/NONE/receipts", {"quantity": 1}, "/reference")]),
    "url": (
        webhooks.URL,
        [("POST", f"{API}/webhooks", WEBHOOK, "/url"), ("PATCH", f"{API}/webhooks/{NOBODY}", {}, "/url")],
    ),
    "endpoint description": (
        webhooks.ENDPOINT_DESCRIPTION,
        [("PATCH", f"{API}/webhooks/{NOBODY}", {}, "/description")],
    ),
    "day": (moments.DAY, [("POST", f"{API}/reports", {**REPORT, "to": "2026-01-01"}, "/from")]),
    **{
        name: (
            field,
            [
                ("PUT", f"{API}/products/{NOBODY}/variants/DOOR-1", VARIANT, f"/{column}"),
                ("POST", f"{API}/products", PRODUCT, f"/variants/0/{column}"),
            ],
        )
        for name, field, column in (
            ("title", catalogue.TITLE, "title"),
            ("currency", catalogue.CURRENCY, "currency"),
            ("barcode", catalogue.BARCODE, "barcode"),
        )
    },
}


@pytest.fixture(scope="module")
async def shop(shop: Shop) -> AsyncIterator[Shop]:
    async with shop.with_lasting_connections() as lasting:
        yield lasting


@pytest.mark.parametrize("name", BODIES)
async def test_every_body_reads_a_field_by_its_rule(shop: Shop, name: str) -> None:
    field, doors = BODIES[name]
    client = admin(shop)
    sku = (await Catalogue(shop).create())["variants"][0]["sku"]  # taken, so an accepted body creates no product
    for method, path, body, pointer in doors:
        sent = json.loads(json.dumps(body).replace("DOOR-1", sku))
        assert await at_body(client, method, path, sent, pointer) == judged(field), (method, path)


NUMBERS: Final = {
    "none": 0,
    "one": 1,
    "negative": -1,
    "huge": 10**12,
    "a fraction": 2.5,
    "a whole fraction": 2.0,
    "text": "2",
    "a boolean": True,
    "a list": [2],
}


@pytest.mark.parametrize(
    ("field", "method", "path", "body", "pointer"),
    [
        (catalogue.PRICE, "PUT", f"{API}/products/{NOBODY}/variants/DOOR-1", VARIANT, "/price_minor"),
        (catalogue.PRICE, "PUT", f"{API}/products/{NOBODY}/variants/DOOR-1", VARIANT, "/compare_at_minor"),
        (catalogue.WEIGHT, "PUT", f"{API}/products/{NOBODY}/variants/DOOR-1", VARIANT, "/weight_grams"),
        (catalogue.POSITION, "PATCH", f"{API}/categories/{NOBODY}", {}, "/position"),
        (catalogue.QUANTITY, "POST", f"{API}/orders", ORDER, "/lines/0/quantity"),
        (stock.RECEIVED, "POST", f"{API}/inventory/NONE/receipts", {}, "/quantity"),
    ],
)
async def test_every_body_reads_a_number_by_its_rule(
    shop: Shop, field: Any, method: str, path: str, body: Any, pointer: str
) -> None:
    assert await at_body(admin(shop), method, path, body, pointer, NUMBERS) == judged(field, NUMBERS)


COLUMNS: Final = {
    "slug": catalogue.SLUG,
    "name": catalogue.NAME,
    "description": catalogue.DESCRIPTION,
    "category": catalogue.SLUG,
    "status": catalogue.STATUS,
    "sku": catalogue.SKU,
    "title": catalogue.TITLE,
    "currency": catalogue.CURRENCY,
    "barcode": catalogue.BARCODE,
}


def _blank(value: str) -> bool:
    return not value.strip("\u200b\ufeff\u2060 \u00a0\u2003\u3000")


@pytest.mark.parametrize("as_json", [False, True], ids=["csv", "jsonl"])
@pytest.mark.parametrize("column", COLUMNS)
async def test_an_import_reads_a_field_by_its_rule(shop: Shop, column: str, as_json: bool) -> None:
    """A blank cell means no value, which is no error of its own; whether the thing that a slug names exists is checked
    later."""
    values = {name: value for name, value in NASTY.items() if not _blank(value)}
    found = await at_import(shop, column, values, as_json=as_json)
    later = {"There is no such category.", "Another product has this SKU."}
    assert {name: None if said in later else said for name, said in found.items()} == judged(COLUMNS[column], values)


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("column", "field"),
    [
        ("price_minor", catalogue.PRICE),
        ("compare_at_minor", catalogue.PRICE),
        ("weight_grams", catalogue.WEIGHT),
        ("on_hand", stock.ON_HAND),
    ],
)
async def test_an_import_reads_a_number_by_its_rule(shop: Shop, column: str, field: Any) -> None:
    assert await at_import(shop, column, NUMBERS, as_json=True) == judged(field, NUMBERS)
    written = {name: str(value) for name, value in NUMBERS.items() if type(value) is int}
    expected = {name: sentence(field, NUMBERS[name]) for name in written}
    assert await at_import(shop, column, written, as_json=False) == expected
    assert set((await at_import(shop, column, {"decimals": "2.50", "words": "two"}, as_json=False)).values()) == {
        "This is not a whole number."
    }


SHORT: Final = {name: value for name, value in NASTY.items() if len(value) < 1_000}
"""What fits into a request line."""


async def test_queries_read_a_field_by_its_rule(shop: Shop) -> None:
    client = admin(shop)
    assert await at_query(client, f"{API}/users", "email", SHORT) == judged(people.EMAIL, SHORT)
    assert await at_query(client, f"{API}/orders", "customer_id", SHORT) == judged(people.PRINCIPAL, SHORT)
    assert await at_query(client, f"{API}/products", "q", SHORT) == judged(catalogue.SEARCHED, SHORT)
    assert await at_query(client, f"{API}/products", "currency", SHORT) == judged(catalogue.CURRENCY, SHORT)
    assert await at_query(client, f"{API}/exports/orders.csv", "from", SHORT) == judged(moments.MOMENT, SHORT)


def _sayable(values: Mapping[str, str]) -> dict[str, str]:
    """Those that can be a program's argument: without NUL."""
    return {name: value for name, value in values.items() if "\0" not in value}


def test_the_cli_reads_a_field_by_its_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {**_sayable(NASTY), "half a pair": "a\udcffb"}
    password = "A password must have"
    emails = at_option(create, lambda value: ["--", value], values, password)
    assert emails == judged(people.EMAIL, values)
    names = at_option(create, lambda value: [f"--name={value}", "a@example.com"], values, password)
    assert names == judged(people.ACCOUNT_NAME, values)
    for subject, said in judged(people.PRINCIPAL, values).items():
        minted = CliRunner().invoke(token, [f"--subject={values[subject]}"])
        if said is None:
            claims = jwt.decode(minted.output.strip(), options={"verify_signature": False})
            assert claims["sub"] == values[subject]
        else:
            assert said in minted.output


@pytest.mark.parametrize("hours", ["nan", "inf", "1e300", "-1", "0", "many"])
def test_a_token_needs_a_valid_lifetime(hours: str) -> None:
    refused = CliRunner().invoke(token, ["--hours", hours])
    assert refused.exit_code == 2, refused.exception
    assert "Traceback" not in refused.output


async def test_people_s_own_name_is_read_by_its_rule(shop: Shop) -> None:
    client = (await sign_in(shop, await newcomer(shop))).client
    assert await at_body(client, "PATCH", f"{API}/me", {}, "/name") == judged(people.ACCOUNT_NAME)


@pytest.mark.parametrize("number", range(5))
async def test_an_address_with_a_space_around_it_is_the_same_everywhere(shop: Shop, number: int) -> None:
    """Mobile keyboards add spaces."""
    said: str = json.loads((CASES / "07-emails.txt").read_text().splitlines()[number])
    sku = await shop.product(on_hand=5)
    lines = [{"sku": sku, "quantity": 1}]
    guest = (await shop.anybody.post("/orders", {"lines": lines, "email": said})).ok(201)
    assert guest["email"] == "ada@example.com"

    # The others get another name, so that each of the five is a different person.
    other = f"ada{number}@example.com"
    spelt = said.replace("ada", f"ada{number}").replace("Ada", f"Ada{number}")
    person = {"email": spelt, "name": "Ada", "password": "long enough"}
    (await register(shop, person)).ok()
    (mail,) = await mails(shop, other, 1)
    assert (await confirm(shop, token_in(mail), person["password"])).status == 204
    (await admin(shop).post("/users", person)).problem(409, "email_taken")
    (await ask_for_tokens(shop, username=spelt, password="long enough")).ok()
    assert (await admin(shop).get("/users", email=spelt)).ok()["items"][0]["email"] == other


async def test_every_sign_in_with_an_unknown_name_gets_the_same_answer(shop: Shop) -> None:
    bodies = set()
    for value in NASTY.values():
        if people.EMAIL.keeps(value.strip().lower()):
            continue
        answer = await ask_for_tokens(shop, username=value, password="short")
        answer.problem(400, "invalid_grant")
        bodies.add(answer.body)
    assert len(bodies) == 1


async def test_half_a_surrogate_pair_is_named_as_such(shop: Shop) -> None:
    sent = rb'{"name": "a \ud800 b", "email": "a@example.com", "password": "long enough"}'
    for path in (f"{API}/users", f"{AUTH}/register"):
        answer = await admin(shop).request("POST", path, data=sent, headers=JSON)
        assert "half of a surrogate pair" in answer.problem(400, "malformed_json")["detail"]
    client = admin(shop)
    line = rb'{"slug": "door", "name": "a \ud800 b"}' + b"\n"
    found = await finished(client, (await send(client, line, JSON_LINES, dry_run="true")).ok(202)["status_url"])
    assert await errors(client, found) == [(1, "malformed_json", None)]


FOREIGN: Final = ("Input should", "Value error", "pydantic", "Expected `", "expected value at", "object at 0x")


async def test_no_error_is_in_a_library_s_words(shop: Shop) -> None:
    """Whatever is wrong with a body: its types, its members, its JSON."""
    client = admin(shop)
    document = (await client.request("GET", "/api/openapi.json")).json()
    wrong: list[Any] = [None, 1, "x", [], [1], True, {"no_such_field": 1}]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if schema is None:
                continue
            fields = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
            bodies = [json.dumps(body).encode() for body in wrong]
            parts = [{name: value} for name in fields for value in (*wrong, -1, 2.5, "x" * 5_000)]
            bodies += [json.dumps(part).encode() for part in parts]
            bodies += [b"{", b'{"a": tru}', b"", b'{"a":1}}', b'{"a":"\xff"}']
            for body in bodies:
                where = path.replace("{sku}", "DOOR-1")
                where = where if "{" not in where else where.partition("{")[0] + NOBODY + where.rpartition("}")[2]
                answer = await client.request(method.upper(), where, data=body, headers=JSON)
                assert answer.status < 500, (path, body, answer)
                assert not any(words in answer.body.decode() for words in FOREIGN), (path, body, answer)
    await shop.take_terms_back()
