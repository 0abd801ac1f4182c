"""What sockets and event streams are served from, apart from the edge, which assembles it."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.identity.authenticator import Authenticator
from gateway.realtime.hub import Hub
from gateway.realtime.places import Places
from gateway.realtime.statistics.stats import Statistics
from gateway.realtime.tail import Tail
from runtime.settings import Settings


class Parts(NamedTuple):
    """The parts of one gateway process that its sockets and event streams are served from."""

    config: Settings
    engine: AsyncEngine
    authenticator: Authenticator
    tail: Tail
    hub: Hub
    stats: Statistics
    places: Places
