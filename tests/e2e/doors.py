"""What each door of the API makes of a field's values: bodies, queries, imports and the CLI."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

from click.testing import CliRunner

from domain.fields.core import BadValue
from tests.e2e.api import API, Answer, Client
from tests.e2e.importing import JSON_LINES, finished, send, sheet
from tests.e2e.people import JSON, admin
from tests.e2e.shop import Shop
from tests.nasty import NASTY

NOBODY: Final = str(UUID(int=7))
"""The id of nothing, so that accepted values have no effect."""
HEADERS: Final = {**JSON, "Prefer": "wait=15"}

Verdicts = Mapping[str, str | None]
"""The sentence that refuses each value, by the value's name; None if the value is accepted."""


def judged(field: Any, values: Mapping[str, Any] = NASTY) -> Verdicts:
    """The field's own verdicts."""
    return {name: sentence(field, value) for name, value in values.items()}


def sentence(field: Any, value: object) -> str | None:
    try:
        field.parse(value)
    except BadValue as bad:
        return bad.detail
    return None


def verdict(answer: Answer, pointer: str) -> str | None:
    """What an answer says about this pointer, or None if it raises no error there."""
    assert answer.status < 500, answer
    if answer.status != 422 or answer.json()["code"] != "invalid_request":
        return None
    said = {error["pointer"]: error["detail"] for error in answer.json()["errors"]}
    return said.get(pointer)


def put(body: Any, pointer: str, value: object) -> bytes:
    """The body, with the value at this pointer, as JSON."""
    made = json.loads(json.dumps(body))
    *way, last = pointer.removeprefix("/").split("/")
    at = made
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at[step]
    at[last] = value
    return json.dumps(made).encode()


async def at_body(
    client: Client, method: str, path: str, body: Any, pointer: str, values: Mapping[str, Any] = NASTY
) -> Verdicts:
    """The verdicts of a field in a body."""
    found = {}
    for name, value in values.items():
        sent = put(body, pointer, value)
        found[name] = verdict(await client.request(method, path, data=sent, headers=HEADERS), pointer)
    return found


async def at_query(client: Client, path: str, part: str, values: Mapping[str, str]) -> Verdicts:
    return {
        name: verdict(await client.request("GET", path, params={part: value}), f"/query/{part}")
        for name, value in values.items()
    }


SAID: Final = {"slug": "door", "name": "A door", "sku": "DOOR-1", "price_minor": 5, "currency": "GBP"}


async def at_import(shop: Shop, column: str, values: Mapping[str, Any], *, as_json: bool) -> Verdicts:
    """The verdicts of a cell in an import's row, in a dry run."""
    rows = [{**SAID, column: value} for value in values.values()]
    if as_json:
        data, headers = "\n".join(map(json.dumps, rows)).encode() + b"\n", JSON_LINES
        lines = list(range(1, len(rows) + 1))
    else:
        data, headers = sheet(rows, dict.fromkeys([*SAID, column])), {"Content-Type": "text/csv"}
        lines = _lines_of(data)
    client = admin(shop)
    found = await finished(client, (await send(client, data, headers, dry_run="true")).ok(202)["status_url"])
    assert found["status"] == "succeeded", found
    pages = await client.pages(found["errors_url"].removeprefix(API), limit=20)
    said = {error["line"]: error["detail"] for page in pages for error in page if error["column"] == column}
    return {name: said.get(line) for name, line in zip(values, lines, strict=True)}


def _lines_of(data: bytes) -> list[int]:
    """The physical lines on which the records after the header start; quoted cells may contain line breaks."""
    starts, quoted, line = [2], False, 1
    for byte in data:
        quoted ^= byte == ord('"')
        if byte == ord("\n"):
            line += 1
            if not quoted:
                starts.append(line + 1)
    return [start - 1 for start in starts[1:-1]]


def at_option(command: Any, arguments: Callable[[str], list[str]], values: Mapping[str, str], then: str) -> Verdicts:
    """The verdicts of the CLI. A value that is accepted leads to the next refusal, `then`."""
    found: dict[str, str | None] = {}
    for name, value in values.items():
        said = CliRunner().invoke(command, arguments(value), input="short\n")
        assert not isinstance(said.exception, Exception), (name, said.exception)
        shown = said.output.rpartition("Error: ")[2].strip()
        found[name] = None if then in shown else shown.partition(": ")[2]
    return found
