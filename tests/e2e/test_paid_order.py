"""docs/paid-order.md, followed to the letter: its commands run in a shell against a running system."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests import needs, pace
from tests.e2e.shop import Shop

PAGE: Final = Path(__file__).parents[2] / "docs" / "paid-order.md"
SKU: Final = "BAG-JUMBO"
STATUSES: Final = re.compile(r"(?:^|\})(failed|charged|confirmed)$", re.MULTILINE)
SAID: Final = re.compile(
    r"Two bags cost (\d+), the code takes (\d+) off, and postage is (\d+): (\d+), including (\d+) of VAT"
)


@pytest.mark.campaign
async def test_the_page_sells_what_it_says(shop: Shop, tmp_path: Path) -> None:
    needs.program("curl", "curl")
    await shop.take_terms_back()
    await shop.product(9, price_minor=208, sku=SKU)
    page = PAGE.read_text()
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    script = script.replace("http://127.0.0.1:8000", shop.system.url)
    script = script.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euo", "pipefail", "-c", f'{script}\ncurl -sS "$API/orders/$ORDER" -H "$ANN"'],
        cwd=tmp_path,
        env=shop.system.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=pace.seconds(120),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert STATUSES.findall(done.stdout) == ["failed", "charged", "confirmed"]
    assert re.search(r"^INV-\d+$", done.stdout, re.MULTILINE)
    assert "Ann Lee" in (tmp_path / "invoice.html").read_text()
    order = json.loads(done.stdout.splitlines()[-1])
    said = SAID.search(page)
    assert said is not None
    goods, off, post, total, tax = map(int, said.groups())
    quote = order["quote"]
    assert (quote["subtotal_minor"], quote["discount_minor"], quote["delivery_minor"]) == (goods, off, post)
    assert (quote["total_minor"], quote["tax_minor"], order["total_minor"]) == (total, tax, total)
    assert (quote["cards"][0]["amount_minor"], quote["due_minor"]) == (300, total - 300)
    await shop.take_terms_back()
