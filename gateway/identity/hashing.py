"""Passwords hashed and checked in threads of their own: never on the event loop, and never too many at a time.

A check costs the same whether there is an account or not; otherwise the time it takes would tell.
"""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from domain.fields.people import normal_password
from domain.model import Secret
from gateway.web.problems import Problem
from runtime.passwords import hash_password, is_password

_T = TypeVar("_T")


class Passwords:
    """The threads of one process. `queue_max` bounds those who wait for one; more get 503 `gateway_busy`."""

    def __init__(self, *, concurrency: int, queue_max: int) -> None:
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="password")
        self._asked_max = concurrency + queue_max
        self._asked = 0
        # Made at once, so that not even the first check tells anything.
        self._decoy = self._threads.submit(hash_password, secrets.token_urlsafe())

    async def hash(self, password: str) -> Secret:
        """The hash to keep, of a password in its one spelling."""
        return Secret(await self._run(lambda: hash_password(password)))

    async def check(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the password of that hash, however it is spelt; never, without a hash, but that takes as long.
        One that can be nobody's is not worth the time, and says nothing of any account."""
        normal = normal_password(password)
        if normal is None:
            return False
        right = await self._run(lambda: is_password(normal, password_hash or self._decoy.result()))
        return right and password_hash is not None

    def close(self) -> None:
        """Lets the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._asked >= self._asked_max:
            raise Problem("gateway_busy", "Too many passwords are being checked; try again soon.")
        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._asked -= 1
