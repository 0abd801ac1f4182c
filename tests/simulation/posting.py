"""How a world's clients post: each request to some gateway, which may die before it answers. Keeps what the auditor
must know of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Final
from uuid import UUID

from domain.model import Actor, Command
from runtime import envelope as envelopes
from runtime.mailboxes.post import Claim, MailboxesUnavailable, MailboxFull
from tests.integration.shopfloor import Shopfloor
from tests.simulation.auditor import Asked
from tests.simulation.clients import Clients
from tests.simulation.fleet import Fleet
from tests.simulation.processes import GatewayProcess
from tests.simulation.redis_time import RedisTime
from tests.simulation.turns import Process

_BURST_MAX_COMMANDS: Final = 8


class Posting:
    """All that is posted in one world. `garbage` counts what no client has asked for."""

    def __init__(self, random: Random, floor: Shopfloor, fleet: Fleet, redis_time: RedisTime) -> None:
        self.happened: Counter[str] = Counter()
        self.garbage = 0
        self.clients = Clients(random, floor)
        self._random = random
        self._floor = floor
        self._fleet = fleet
        self._redis_time = redis_time
        self._asked: list[Asked | None] = []
        self._unanswered: dict[int, Process] = {}

    @property
    def asked(self) -> Sequence[Asked]:
        """What clients have asked for, without requests refused before they became commands."""
        return [each for each in self._asked if each is not None]

    @property
    def is_answered(self) -> bool:
        """Whether nobody waits for an answer who could have one."""
        return all(process.dead for process in self._unanswered.values())

    def post(self) -> None:
        """Some clients ask for something at the same moment."""
        self.post_all([self.clients.anything() for _ in range(self._random.randint(1, _BURST_MAX_COMMANDS))])

    def rush(self) -> None:
        """Many clients want what is scarce."""
        self.post_all(self.clients.rush())

    def post_all(self, commands: Sequence[tuple[Asked, Command]]) -> None:
        """Posts as concurrent requests to one gateway do."""
        if gateways := self._fleet.living(GatewayProcess):
            gateway = self._random.choice(gateways)
            for asked, command in commands:
                place = len(self._asked)
                self._asked.append(replace(asked, certain=False, through=str(gateway.process)))
                self._unanswered[place] = gateway.process
                self._fleet.begin(gateway.process, self._post_one(gateway, place, asked, command))

    def post_again(self) -> None:
        """Adds an entry of a mailbox to it once more."""
        mailbox = self._random.randrange(self._floor.mailbox_count)
        # An unreadable entry has no id that would reveal a repetition.
        known = {each.command_id for each in self.asked}
        readable = [fields for fields in self._redis_time.entries(mailbox) if _command_id(fields) in known]
        if readable:
            self._redis_time.put(mailbox, self._random.choice(readable))

    def put_garbage(self) -> None:
        """Adds an entry that nobody can read."""
        self.garbage += 1
        mailbox = self._random.randrange(self._floor.mailbox_count)
        self._redis_time.put(mailbox, {b"v": b"1", b"e": self._random.randbytes(20)})

    async def _post_one(self, gateway: GatewayProcess, place: int, asked: Asked, command: Command) -> None:
        """Posts it, and records whether it was accepted."""
        envelope = self._floor.envelope(
            command,
            actor=Actor.in_role(asked.principal, asked.role),
            command_id=asked.command_id,
            key=asked.key,
            fingerprint=asked.body,
        )
        # Without a claim: as if Redis had forgotten the key meanwhile.
        forgotten = asked.key is None or self._random.random() < 0.5
        claim = None if asked.key is None or forgotten else Claim(asked.principal, asked.key, b"claim")
        recorded = self._asked[place]
        assert recorded is not None
        try:
            known = await gateway.post(asked.mailbox, envelopes.encode(envelope), claim)
        except MailboxesUnavailable:
            self.happened["answer lost"] += 1
        except MailboxFull:
            self.happened["mailbox full"] += 1
            self._asked[place] = None
        else:
            self.happened["answered by its idempotency key"] += known is not None
            self._asked[place] = replace(recorded, certain=True) if known is None else None
        finally:
            self._unanswered.pop(place)


def _command_id(fields: dict[bytes, bytes]) -> UUID | None:
    try:
        return envelopes.decode(fields)[0].command_id
    except envelopes.UnreadableEntry:
        return None
