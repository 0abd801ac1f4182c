"""The sandbox's HTTP API: what the shop calls, the page that buyers see, and the control of its misbehaviour.

Everything under `/v1` and `/control` requires the secret as a bearer token. An act has an idempotency key, and is done
only once; a repeated request is answered with the payment's current state.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from ops.sandbox.bank import Bank, moods_of, movement_of
from ops.sandbox.ledger import Ledger, Paid, stored
from ops.sandbox.moods import AT_FIRST, Control, UnknownMood, known, of_method
from ops.sandbox.notices import Notices
from ops.sandbox.pages import STYLE, index, may_return_to, page
from runtime.payments.sandbox_wire import KEY_HEADER, Move, Open, Pay, PaymentSaid, PaymentsSaid, ProblemSaid

_PAGE_ROWS: Final = 500
_LISTED_ROWS: Final = 50
_BODY_MAX_BYTES: Final = 65_536

_CHOICES: Final[dict[str, frozenset[str]]] = {
    "pay": frozenset(),
    "decline": frozenset({"decline"}),
    "step": frozenset({"step"}),
    "confirm": frozenset(),
    "deny": frozenset({"decline"}),
}
"""The effects of the buyer's choices on the page."""

_Body = TypeVar("_Body", bound=msgspec.Struct)
_Given = TypeVar("_Given")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Problem(Exception):
    """A 4xx answer."""

    def __init__(self, status: HTTPStatus, code: str, detail: str) -> None:
        self.status = status
        self.said = ProblemSaid(code, detail)


class Api:
    """The routes over one ledger."""

    def __init__(self, ledger: Ledger, notices: Notices, secret: str, own_url: str) -> None:
        self._ledger = ledger
        self._notices = notices
        self._bank = Bank(ledger, notices.tell)
        self._secret = secret
        self._own_url = own_url

    def app(self) -> web.Application:
        app = web.Application(client_max_size=_BODY_MAX_BYTES, middlewares=[self._guarded])
        app.router.add_get("/health", self._health)
        app.router.add_get("/control", self._control)
        app.router.add_put("/control", self._put_control)
        app.router.add_post("/v1/payments", self._open)
        app.router.add_get("/v1/payments", self._list)
        app.router.add_post("/v1/payments/{id}/authorize", self._authorize)
        for what in self._bank.acts:
            app.router.add_post(f"/v1/payments/{{id}}/{what}", self._move)
        app.router.add_get("/", self._index)
        app.router.add_get("/pay.css", self._style)
        app.router.add_get("/pay/{id}", self._page)
        app.router.add_post("/pay/{id}", self._choose)
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            if request.path.startswith(("/v1/", "/control")):
                given = request.headers.get("Authorization", "").encode()
                if not hmac.compare_digest(given, f"Bearer {self._secret}".encode()):
                    raise Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", "The secret is missing or wrong.")
            return await handler(request)
        except Problem as problem:
            return _json(problem.said, problem.status)

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"waiting_webhooks": self._notices.waiting})

    async def _control(self, request: web.Request) -> web.Response:
        return _json(self._notices.control)

    async def _put_control(self, request: web.Request) -> web.Response:
        self._notices.control = await _read(request, Control)
        return _json(self._notices.control)

    async def _open(self, request: web.Request) -> web.StreamResponse:
        wanted = await _read(request, Open)
        if not may_return_to(wanted.return_url):
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_return_url", "It is not an http or https URL.")
        own = _checked(known, wanted.moods) + (_checked(of_method, wanted.method) if wanted.method else ())

        def opens(moods: frozenset[str]) -> Paid:
            if self._ledger.payment("reference", wanted.reference) is not None:
                raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "reference_taken", "There is such a payment.")
            payment = self._bank.open(wanted, own)
            if wanted.method is not None:
                self._bank.pay(payment, moods, on_page=False)
            return payment

        return await self._once(request, own, msgspec.json.encode(wanted).decode(), opens)

    async def _authorize(self, request: web.Request) -> web.StreamResponse:
        pay = await _read(request, Pay)
        payment = self._payment(request)
        own = (*moods_of(payment), *_checked(of_method, pay.method))

        def pays(moods: frozenset[str]) -> Paid:
            self._bank.pay(self._payment(request), moods, on_page=False)
            return payment

        return await self._once(request, own, f"authorize {payment.id} {pay.method}", pays)

    async def _move(self, request: web.Request) -> web.StreamResponse:
        what = request.path.rpartition("/")[2]
        move = await _read(request, Move)
        payment = self._payment(request)

        def moves(moods: frozenset[str]) -> Paid:
            self._bank.acts[what](self._payment(request), move, moods)
            return payment

        said = f"{what} {payment.id} {msgspec.json.encode(move).decode()}"
        return await self._once(request, moods_of(payment), said, moves)

    async def _once(
        self, request: web.Request, own: Iterable[str], said: str, does: Callable[[frozenset[str]], Paid]
    ) -> web.StreamResponse:
        """Carries out an act, unless it was already done under this key, and answers according to the moods; `own` are
        those of the payment and the method. `does` reads the payment itself, because it may have changed during a slow
        answer."""
        key = request.headers.get(KEY_HEADER, "")
        if not key:
            raise Problem(HTTPStatus.BAD_REQUEST, "key_missing", f"{KEY_HEADER} is missing.")
        control = self._notices.control
        moods = control.drawn(key).union(own)
        if self._ledger.asked(key):
            moods -= AT_FIRST
        if "lose_request" in moods:
            return _lost(request)
        if "slow" in moods:
            await asyncio.sleep(control.slow_seconds)
        if (done := self._ledger.done(key)) is None:
            payment_id = does(moods).id
            self._ledger.remember(key, said, payment_id)
        elif done.request == said:
            payment_id = done.payment_id
        else:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "key_reused", "The key was used for another request.")
        await self._ledger.durable()
        if "hang" in moods:
            await asyncio.sleep(control.hang_seconds)
        if moods & {"lose_answer", "hang"}:
            return _lost(request)
        payment = self._ledger.payment("id", payment_id)
        assert payment is not None
        return _json(self._said(payment))

    async def _list(self, request: web.Request) -> web.Response:
        if (reference := request.query.get("reference")) is not None:
            found = self._ledger.payment("reference", reference)
            return _json(PaymentsSaid([] if found is None else [self._said(found)], None))
        after = request.query.get("after") or "0"
        rows = self._ledger.rows(
            "SELECT * FROM payments WHERE number > ? AND created_at >= ? ORDER BY number LIMIT ?",
            int(after) if after.isdecimal() else 0,
            _since(request.query.get("since")),
            _PAGE_ROWS,
        )
        payments = [Paid(*row) for row in rows]
        last = str(payments[-1].number) if len(payments) == _PAGE_ROWS else None
        return _json(PaymentsSaid([self._said(payment) for payment in payments], last))

    async def _index(self, request: web.Request) -> web.Response:
        rows = self._ledger.rows("SELECT * FROM payments ORDER BY number DESC LIMIT ?", _LISTED_ROWS)
        return index([(payment, self._ledger.movements(payment.id)) for payment in (Paid(*row) for row in rows)])

    async def _style(self, request: web.Request) -> web.Response:
        return web.Response(text=STYLE, content_type="text/css")

    async def _page(self, request: web.Request) -> web.Response:
        payment = self._payment(request)
        return page(payment, self._ledger.movements(payment.id))

    async def _choose(self, request: web.Request) -> web.StreamResponse:
        choice = str((await request.post()).get("choice", ""))
        payment = self._payment(request)
        moods = (moods_of(payment) | self._notices.control.drawn(payment.id)) - {"decline", "step"}
        if choice == "leave":
            self._bank.void(payment, Move(), moods)
        elif choice in _CHOICES:
            self._bank.pay(payment, moods | _CHOICES[choice], on_page=True)
        await self._ledger.durable()
        now = self._payment(request)
        there = None if now.is_open else now.return_url
        return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": there or f"/pay/{now.id}"})

    def _payment(self, request: web.Request) -> Paid:
        payment = self._ledger.payment("id", request.match_info["id"])
        if payment is None:
            raise Problem(HTTPStatus.NOT_FOUND, "payment_not_found", "There is no such payment.")
        return payment

    def _said(self, payment: Paid) -> PaymentSaid:
        return PaymentSaid(
            payment.id,
            payment.reference,
            payment.amount_minor,
            payment.currency,
            payment.capture,  # type: ignore[arg-type]  # it was written from one
            datetime.fromisoformat(payment.created_at),
            f"{self._own_url}/pay/{payment.id}" if payment.is_open else None,
            [movement_of(moved) for moved in self._ledger.movements(payment.id)],
        )


def _checked(read: Callable[[_Given], tuple[str, ...]], given: _Given) -> tuple[str, ...]:
    try:
        return read(given)
    except UnknownMood as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "unknown_mood", str(error)) from error


def _since(moment: str | None) -> str:
    if not moment:
        return ""
    try:
        return stored(datetime.fromisoformat(moment).astimezone(UTC))
    except ValueError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "invalid_query", str(error)) from error


async def _read(request: web.Request, as_type: type[_Body]) -> _Body:
    try:
        return msgspec.json.decode(await request.read() or b"{}", type=as_type)
    except ValueError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "invalid_body", str(error)) from error


def _json(said: msgspec.Struct, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(body=msgspec.json.encode(said), status=status, content_type="application/json")


def _lost(request: web.Request) -> web.StreamResponse:
    """No answer: the connection is closed."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
