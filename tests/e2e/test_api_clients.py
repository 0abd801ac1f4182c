"""The OpenAPI document in the ecosystem's own tools: it passes their linters, and they make clients of it that a shop
could use as they are."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.app import api
from runtime.settings import Settings
from tests import nodetools, pace
from tests.e2e.shop import Shop

pytestmark = pytest.mark.campaign

PRICE_MINOR: Final = 250
ON_HAND: Final = 7
ORDERED: Final = 2

_MAKE_SECONDS: Final = 60.0
# It would run a formatter over its output unless told to run nothing. Bodies other than JSON are sent as bytes.
_CONFIGURATION: Final = {
    "post_hooks": [],
    "literal_enums": True,
    "content_type_overrides": dict.fromkeys(
        ("text/csv", "application/x-ndjson", "application/jsonl"), "application/octet-stream"
    ),
}

Program = Callable[..., str]


@pytest.fixture(scope="module")
def document() -> Any:
    return json.loads(json.dumps(api(Settings()).openapi()))


def test_redocly_and_spectral_find_nothing(document: Any) -> None:
    assert nodetools.says("openapi.mjs", document) == []


def test_redocly_and_spectral_would_find_something(document: Any) -> None:
    number = {"schema": {"type": "integer"}, "example": "one"}
    operation = {
        "parameters": [{"name": "q", "in": "query", "schema": {"type": "string"}}],
        "responses": {"200": {"description": "A number.", "content": {"application/json": number}}},
    }
    broken = {"openapi": document["openapi"], "info": document["info"], "paths": {"/number": {"get": operation}}}
    rules = {said["rule"] for said in nodetools.says("openapi.mjs", broken)}
    of_redocly = {"operation-summary", "operation-4xx-response", "no-invalid-media-type-examples", "no-empty-servers"}
    of_spectral = {"oas3-parameter-description", "operation-description", "oas3-valid-media-example", "operation-tags"}
    assert of_redocly | of_spectral <= rules


async def test_a_client_made_by_openapi_typescript_places_and_reads_an_order(shop: Shop, document: Any) -> None:
    """With `tsc --strict`, and stricter: optional members may be left out of a request, and answers are typed."""
    await _places_and_reads_an_order(shop, await asyncio.to_thread(_typescript, document))


async def test_a_client_made_by_openapi_python_client_places_and_reads_an_order(
    shop: Shop, document: Any, tmp_path: Path
) -> None:
    await _places_and_reads_an_order(shop, await asyncio.to_thread(_python, document, tmp_path))


async def _places_and_reads_an_order(shop: Shop, program: Program) -> None:
    """Checks what the programs `tests/apitools/order.*` do and print; `program` runs one."""
    sku = await shop.product(ON_HAND, price_minor=PRICE_MINOR)
    staff = shop.client("staff", f"client-of-{sku}")
    printed = await asyncio.to_thread(program, shop.system.url, shop.system.token("staff", staff.principal), sku)
    seen = json.loads(printed)
    order = (await staff.get(f"/orders/{seen['id']}")).ok()
    assert (order["customer_id"], order["lines"][0]["quantity"]) == (staff.principal, ORDERED)
    total = ORDERED * PRICE_MINOR
    assert seen == {
        "id": order["id"],
        "status": "placed",
        "total_minor": total,
        "available": ON_HAND - ORDERED,
        "totals": seen["totals"],  # the log's first page, which only has it in a young shop
        "unchanged": {},
    }
    assert seen["totals"] in ([], [total])


def _typescript(document: Any) -> Program:
    folder = nodetools.installed()
    (folder / "openapi.json").write_text(json.dumps(document))
    nodetools.run("openapi-typescript", "openapi.json", "--output", "api.d.ts")
    nodetools.run("tsc", "--project", ".")
    return partial(nodetools.run, "node", "made/order.js")


def _python(document: Any, folder: Path) -> Program:
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "configuration.json").write_text(json.dumps(_CONFIGURATION))
    generator = Path(sys.executable).parent / "openapi-python-client"
    options = ("--meta", "none", "--output-path", "tidegate_api", "--config", "configuration.json")
    said = _run(folder, str(generator), "generate", "--path", "openapi.json", *options, "--fail-on-warning")
    assert "Warning" not in said, said
    return partial(_run, folder, sys.executable, str(nodetools.TOOLS / "order.py"))


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=pace.seconds(_MAKE_SECONDS),
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
