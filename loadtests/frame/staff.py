"""The shop's staff, played by the leading process of a load test through the public API: they put goods on sale before
a run, create API keys for it, and inspect the result afterwards.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import gevent
import msgspec
from gevent.pool import Pool
from locust.contrib.fasthttp import FastHttpSession
from locust.event import EventHook

from domain.roles import ADMIN, SCOPES_OF_ROLE
from ops.articles import Article, slug_of

IMPORT_MAX_SECONDS: Final = 600.0
_AT_A_TIME: Final = 16
_PAGE: Final = 1_000
_UNCOUNTED: Final = EventHook()  # type: ignore[no-untyped-call]
_POLL_SECONDS: Final = 0.1
_AGAIN_MAX_SECONDS: Final = 60.0


class NotPrepared(Exception):
    """The system cannot be prepared for a run, or its results cannot be read; the message says why."""


class Goods(msgspec.Struct, frozen=True):
    """An article, and how many pieces to put in stock; None leaves the stock unchanged."""

    article: Article
    on_hand: int | None


class Staff:
    """The staff member that the bearer `token` (an API key or an access token) belongs to; without one, only public
    reads are possible."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url.rstrip("/")
        self.token = token
        # Locust's own client, without its statistics, because preparing is not load.
        self._http = FastHttpSession(self.url, _UNCOUNTED, None, concurrency=_AT_A_TIME)
        self._keys: list[str] = []

    @classmethod
    def signed_in(cls, url: str, email: str, password: str) -> Staff:
        """Signs in, and creates an API key for the run, since an access token may expire before its end."""
        form = urlencode({"grant_type": "password", "username": email, "password": password})
        visitor = cls(url)
        tokens = visitor._ask("POST", "/api/auth/token", form, content_type="application/x-www-form-urlencoded")
        owner = cls(url, tokens["access_token"])
        staff = cls(url, owner.make_keys("staff", 1, ADMIN, sorted(SCOPES_OF_ROLE[ADMIN]))[0])
        staff._keys = owner._keys
        return staff

    def check_ready(self) -> None:
        """Raises NotPrepared unless a system is ready there."""
        answer = self._http.request("GET", "/health/ready")
        if answer.status_code != 200:
            said = f"answered {answer.status_code}" if answer.status_code else "no answer"
            raise NotPrepared(f"no Tidegate is ready at {self.url} ({said}): start one with `make up`")

    def make_keys(self, what: str, count: int, role: str, scopes: Sequence[str]) -> list[str]:
        """Makes API keys, which `revoke_keys` takes back, and returns them."""
        body = msgspec.json.encode({"name": f"load test: {what}", "role": role, "scopes": scopes}).decode()
        made = Pool(_AT_A_TIME).map(lambda _: self._ask("POST", "/api/v1/keys", body), range(count))
        self._keys += [key["id"] for key in made]
        return [key["key"] for key in made]

    def revoke_keys(self) -> None:
        """Revokes the keys that were created for the run; the staff's own, which was the first, last."""
        for some in (self._keys[1:], self._keys[:1]):
            Pool(_AT_A_TIME).map(lambda key: self._ask("POST", f"/api/v1/keys/{key}/revoke"), some)
        self._keys = []

    def stock(self, goods: Sequence[Goods]) -> None:
        """Puts goods on sale, and sets their stock. Changes nothing else about them."""
        done = self.import_csv(as_csv(goods))
        if done["status"] != "succeeded" or done["rejected"]:
            raise NotPrepared(
                f"the goods were not put on sale: {done['rejected']:,} rows were rejected; see {done['errors_url']}"
            )

    def import_csv(self, text: str) -> dict[str, Any]:
        """Imports a file, and returns the import once it is over."""
        asked = self._ask("POST", "/api/v1/imports", text, content_type="text/csv; charset=utf-8")
        with gevent.Timeout(IMPORT_MAX_SECONDS, NotPrepared(f"an import took more than {IMPORT_MAX_SECONDS:.0f} s")):
            while True:
                job = self._ask("GET", asked["status_url"])
                if job["status"] not in ("queued", "running"):
                    return job
                gevent.sleep(_POLL_SECONDS)

    def inventory(self, sku: str) -> dict[str, Any]:
        """What is on hand and reserved of a SKU."""
        return self._ask("GET", f"/api/v1/inventory/{sku}")

    def events(self, after: int = 0) -> Iterator[dict[str, Any]]:
        """The log after a seq, to its present end."""
        while True:
            page = self._ask("GET", f"/api/v1/events?after={after}&limit={_PAGE}")
            yield from page["items"]
            if not page["items"]:
                return
            after = page["last_seq"]

    def _ask(
        self, method: str, path: str, body: str | None = None, *, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """The answer's JSON. Retries when told to. Raises NotPrepared, with the problem's code."""
        headers = {"Content-Type": content_type}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        waited = 0.0
        while True:
            answer = self._http.request(method, path, data=body, headers=headers)
            pause = retry_after(answer) or 0.0
            if not pause or waited + pause > _AGAIN_MAX_SECONDS:
                break
            gevent.sleep(pause)
            waited += pause
        if 200 <= answer.status_code < 300:
            return msgspec.json.decode(answer.content or b"{}", type=dict[str, Any])
        if answer.status_code == 0:
            raise NotPrepared(f"{self.url} gave no answer to {method} {path}: {getattr(answer, 'error', '')}")
        raise NotPrepared(f"{self.url} answered {method} {path} with {answer.status_code} {code_of(answer)}")


def as_csv(goods: Sequence[Goods]) -> str:
    """The goods as CSV for an import."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(("slug", "name", "status", "sku", "price_minor", "currency", "on_hand"))
    for each in goods:
        article = each.article
        name = article.name.ljust(2, ".")
        rows.writerow(
            (slug_of(article.sku), name, "active", article.sku, article.price_minor, article.currency, each.on_hand)
        )
    return text.getvalue()


def retry_after(answer: Any) -> float | None:
    """The seconds after which to retry, if the answer says so."""
    if answer.status_code not in (429, 503):
        return None
    said = answer.headers.get("Retry-After", "")
    return float(said) if said.isdigit() else None


def code_of(answer: Any) -> str:
    """The code of a problem document, or the status of another answer."""
    try:
        return str(msgspec.json.decode(answer.content or b"", type=dict[str, Any])["code"])
    except (msgspec.DecodeError, KeyError):
        return f"http_{answer.status_code}"
