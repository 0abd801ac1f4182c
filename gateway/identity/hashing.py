"""Hashes and checks passwords in threads, off the event loop, and a bounded number at a time. A check takes the same
time whether or not the account exists, so that its duration reveals nothing.
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
    """The threads of one process. Up to `queue_max` requests wait for one; more get 503 `gateway_busy`."""

    def __init__(self, *, concurrency: int, queue_max: int) -> None:
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="password")
        self._asked_max = concurrency + queue_max
        self._asked = 0
        # Made in advance, so that not even the first check reveals anything.
        self._decoy = self._threads.submit(hash_password, secrets.token_urlsafe())

    @property
    def in_progress(self) -> int:
        """The number of requests whose password is being hashed or checked, or waits for that."""
        return self._asked

    async def hash(self, password: str) -> Secret:
        """The hash to store, of a password in its canonical form."""
        return Secret(await self._run(lambda: hash_password(password)))

    async def check(self, password: str, password_hash: str | None) -> bool:
        """Whether this is the password of that hash, in any Unicode form. Without a hash, returns False after the same
        time. A password that no account can have is rejected at once, which reveals nothing."""
        normal = normal_password(password)
        if normal is None:
            return False
        right = await self._run(lambda: is_password(normal, password_hash or self._decoy.result()))
        return right and password_hash is not None

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._asked >= self._asked_max:
            raise Problem("gateway_busy", "Too many passwords are being checked; try again soon.")
        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._asked -= 1
