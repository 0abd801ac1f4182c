"""The pages that show the API: complete without internet, and harmless to open."""

import re
from html.parser import HTMLParser
from typing import Final

import pytest
from aiohttp import FormData

from tests.e2e.api import Answer
from tests.e2e.people import registered
from tests.e2e.shop import Shop

PAGES: Final = ("/api/docs", "/api/redoc")
_ASSETS: Final = "/api/docs/assets"


class Page(HTMLParser):
    """What a page loads, and which inline code it would run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.named: list[str] = []
        self.inline: list[str] = []
        self._in_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        for name, value in attrs:
            if name in {"src", "href", "spec-url", "data-openapi"}:
                self.named.append(value or "")
            if name.startswith("on") or name == "style":
                self.inline.append(f"{name}={value}")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.inline.append(data)


async def _page(shop: Shop, path: str) -> tuple[Answer, Page]:
    answer = await shop.anybody.request("GET", path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    return answer, Page(answer.body.decode())


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_names_no_other_host_and_every_file_it_names_is_served(shop: Shop, path: str) -> None:
    answer, page = await _page(shop, path)
    assert "/api/openapi.json" in page.named
    assert sum(name.endswith(".js") for name in page.named) >= 1
    assert b"//" not in answer.body
    for name in page.named:
        assert re.fullmatch(r"/api/[\w./-]+", name)
        asset = await shop.anybody.request("GET", name)
        assert asset.status == 200, name
        assert len(asset.body) > 100, name


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_runs_only_our_files(shop: Shop, path: str) -> None:
    answer, page = await _page(shop, path)
    assert page.inline == []
    directives = [directive.split() for directive in answer.headers["Content-Security-Policy"].split(";")]
    policy = {name: sources for name, *sources in directives}
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["connect-src"] == ["'self'"]
    assert policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]
    assert not re.search(r"https?:|\*", answer.headers["Content-Security-Policy"])


async def test_the_line_that_starts_swagger_ui_names_no_other_host(shop: Shop) -> None:
    script = (await shop.anybody.request("GET", f"{_ASSETS}/docs.js")).body.decode()
    assert "validatorUrl: null" in script
    assert not re.search(r"https?:", script)


async def test_assets_are_cached_and_revalidated(shop: Shop) -> None:
    path = f"{_ASSETS}/swagger-ui-bundle.js"
    first = await shop.anybody.request("GET", path)
    assert first.headers["Cache-Control"] == "public, max-age=86400"
    assert first.headers["Content-Type"].startswith("text/javascript")
    again = await shop.anybody.request("GET", path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    "name",
    ["", "nothing.js", "..%2f..%2fapp.py", "%2e%2e/%2e%2e/app.py", "..%5capp.py", "%00", "/etc/passwd", "x" * 5_000],
)
async def test_no_other_file_is_an_asset(shop: Shop, name: str) -> None:
    (await shop.anybody.request("GET", f"{_ASSETS}/{name}")).problem(404, "not_found")


async def test_the_authorize_button_s_request_signs_in(shop: Shop) -> None:
    """As Swagger UI sends it: a form with no scope ticked, and Basic credentials with an empty client id and secret."""
    email, password = "docs@example.com", "a-password-of-some-length"
    await registered(shop, {"email": email, "password": password, "name": "Docs"})
    document = (await shop.anybody.request("GET", "/api/openapi.json")).ok()
    flow = document["components"]["securitySchemes"]["oauth2"]["flows"]["password"]
    form = FormData({"grant_type": "password", "scope": "", "username": email, "password": password})()
    async with shop.http.post(
        shop.system.url + flow["tokenUrl"],
        data=form,
        headers={"Authorization": "Basic Og==", "X-Requested-With": "XMLHttpRequest"},
    ) as answer:
        assert answer.status == 200, await answer.text()
        tokens = await answer.json()
    assert tokens["token_type"] == "bearer"
    profile = (await shop.with_token(tokens["access_token"]).get("/me")).ok()
    assert profile["email"] == email
