"""Sockets that only listen, each crowd of them in a process of its own (see `loadtests.feedload`)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote

import msgspec

from loadtests.bench.stage import BenchError, Stage, ending
from loadtests.feedload import Heard
from runtime.signing_keys import key_ring
from runtime.tokens import mint

_TIMEOUT_SECONDS: Final = 120.0


def path_of(stage: Stage, topic: str, after: int | None = None) -> str:
    """The path at which a member of staff listens to a topic, from the event after that seq on, or from now."""
    token = mint(key_ring(stage.config), "bench", ["staff"], lifetime_seconds=3_600)
    return f"/ws?topics={topic}&token={quote(token)}" + ("" if after is None else f"&after={after}")


@contextmanager
def listening(host: str, port: int, path: str, sockets: int, expected: int) -> Iterator[subprocess.Popen[bytes]]:
    """This many sockets, in a process of their own; within the context, they are all open."""
    command = [sys.executable, "-m", "loadtests.feedload", host, str(port), path, str(sockets), str(expected)]
    # Unbuffered: `communicate` would miss what `readline` had read of the result together with the first line.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as clients:
        assert clients.stdout is not None
        try:
            if clients.stdout.readline() != b"ready\n":
                raise BenchError(f"the sockets could not be opened: {_last_words(clients)}")
            yield clients
        finally:
            clients.kill()


def heard_by(clients: subprocess.Popen[bytes]) -> Heard:
    try:
        output, said = clients.communicate(timeout=_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise BenchError("not every socket was told of every event") from None
    if clients.returncode:
        raise BenchError(f"the process of the sockets did not finish: {ending(clients.returncode, said)}")
    try:
        return msgspec.json.decode(output, type=Heard)
    except msgspec.DecodeError as error:
        raise BenchError(
            f"the process of the sockets told {len(output):,} bytes, which end in {output[-40:]!r}: {error}"
        ) from None


def _last_words(clients: subprocess.Popen[bytes]) -> str:
    _, said = clients.communicate(timeout=_TIMEOUT_SECONDS)
    return ending(clients.returncode, said)
