"""Shoppers: they order over HTTP like a careful client, which retries until it knows the outcome."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import gevent
import msgspec
from locust import FastHttpUser, task

from domain.model import Wanted
from loadtests.frame.answers import not_done
from loadtests.frame.run import the_run
from loadtests.frame.staff import code_of, retry_after
from loadtests.frame.verdict import Row

ORDERS: Final = "/api/v1/orders"
WAIT_SECONDS: Final = 10
PATIENCE_SECONDS: Final = 60.0
"""How long a shopper keeps retrying, when told to, before giving up."""

PLACE: Final = Row("POST", f"{ORDERS}, Prefer: wait")
LOOK_AT_COMMAND: Final = Row("GET", "/api/v1/commands/{id}")

_SILENCE_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 0.2
_DECIDED: Final = (200, 201, 404, 409, 422)


class Told(msgspec.Struct, frozen=True):
    """The final answer to a shopper: the status, the code of a problem, and the order's id if there is one. Status 0
    means that there was no final answer, in spite of all retries."""

    status: int
    code: str = ""
    order_id: str = ""

    @property
    def done(self) -> bool:
        """Whether the request was carried out."""
        return self.status in (200, 201)


class Shopper(FastHttpUser):
    """A user with their own token, and one keep-alive connection."""

    abstract = True

    def on_start(self) -> None:
        self.run_ = the_run()
        self.token = self.run_.shopper()

    def order(self, lines: Sequence[Wanted]) -> Told:
        """Places an order and waits for its outcome."""
        body = {"lines": [{"sku": wanted.sku, "quantity": wanted.quantity} for wanted in lines]}
        return self.write(ORDERS, PLACE, msgspec.json.encode(body).decode())

    def move(self, order_id: str, step: str) -> Told:
        """Confirms or cancels an order, and waits for the outcome."""
        return self.write(f"{ORDERS}/{order_id}/{step}", Row("POST", f"{ORDERS}/{{id}}/{step}, Prefer: wait"))

    def write(self, path: str, row: Row, body: str = "") -> Told:
        """Sends a write until its outcome is known: retries with the same key after no answer, or when told to; polls
        for the outcome if it takes longer than the wait. Only answers that should never occur are failures."""
        headers = {
            **self.headers(),
            "Content-Type": "application/json",
            "Idempotency-Key": f"load-{random.getrandbits(96):024x}",
            "Prefer": f"wait={WAIT_SECONDS}",
        }
        until = time.perf_counter() + PATIENCE_SECONDS
        while True:
            with self.client.post(path, body, headers=headers, name=row.name, catch_response=True) as answer:
                status, pause = answer.status_code, retry_after(answer)
                if status in (*_DECIDED, 202) or pause is not None:
                    answer.success()
                elif status:
                    answer.failure(f"{status} {code_of(answer)}")
            self._note_seq(answer)
            if status == 202:
                return self._settled(answer, until)
            if status and pause is None:
                said = msgspec.json.decode(answer.content or b"{}", type=dict[str, Any])
                return Told(status, str(said.get("code", "")), str(said.get("id", "")))
            self.run_.tally("came back: no answer" if pause is None else f"came back: {code_of(answer)}")
            pause = pause or _SILENCE_SECONDS
            if time.perf_counter() + pause > until:
                return Told(0, "gave_up")
            gevent.sleep(pause * (1 + random.random() / 4))

    def tally(self, told: Told, done: str) -> None:
        """Tallies the request as `done`, or by the reason why it was not."""
        self.run_.tally(done if told.done else not_done(told.code))

    def headers(self) -> dict[str, str]:
        """The headers that authenticate the shopper."""
        return {"Authorization": f"Bearer {self.token}"}

    def _settled(self, accepted: Any, until: float) -> Told:
        """The outcome of a write that took longer than the wait."""
        said = accepted.json()
        path, pause = f"/api/v1/commands/{said['command_id']}", _POLL_SECONDS
        while time.perf_counter() + pause < until:
            gevent.sleep(pause)
            with self.client.get(
                path, headers=self.headers(), name=LOOK_AT_COMMAND.name, catch_response=True
            ) as answer:
                if (told := retry_after(answer)) is not None:
                    answer.success()
                    self.run_.tally(f"came back: {code_of(answer)}")
                pause = told or _POLL_SECONDS
            if answer.status_code == 200 and (command := answer.json())["status"] != "accepted":
                self.run_.seq = max(self.run_.seq, command["seq"] or 0)
                outcome: Mapping[str, Any] = command["outcome"] or {}
                done = command["status"] in ("applied", "repeated")
                return Told(200 if done else 409, "" if done else str(outcome.get("code", "")), said["id"])
        return Told(0, "undecided")

    def _note_seq(self, answer: Any) -> None:
        seq = answer.headers.get("Tidegate-Seq") if answer.headers else None
        if seq is not None:
            self.run_.seq = max(self.run_.seq, int(seq))


class Arriving(Shopper):
    """Acts for arrivals, one after another: a free user takes the next one. The number of users is the number of
    requests that may be in flight; further arrivals wait, and their wait counts."""

    abstract = True

    @task
    def arrive(self) -> None:
        with self.run_.arrival() as self.intended:
            self.token = self.run_.shopper()
            self.act()

    def act(self) -> None:
        """What an arrival does."""
        raise NotImplementedError(type(self).__name__)  # every scenario defines its own
