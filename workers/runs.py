"""Runs of entries that are to be applied, and the parts of them that one transaction each applies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from domain.terms import StateTerms
from runtime.mailboxes.inbox import Entry
from workers.messages import DeadLetter, Message

AT_ONCE_MAX_COMMANDS: Final = 64
"""A batch of no more commands is tried at once (see `workers/at_once.py`)."""


class Run(NamedTuple):
    """Entries of some mailboxes, each with its own, in the order in which they are to be applied; and the positions
    after which they were read."""

    positions: dict[int, str]
    entries: Sequence[tuple[int, Entry]]


class Part(NamedTuple):
    """Messages of a run that are to be applied in one transaction, and the positions at which it must find their
    mailboxes. With `look_up`, what came before is looked up first. A `last_resort` is a dead letter in place of the
    message that could not be applied: it is written, or its mailbox waits."""

    held: Mapping[int, str]
    messages: Sequence[Message | DeadLetter]
    look_up: bool = False
    last_resort: bool = False

    @property
    def is_small(self) -> bool:
        """Whether it may be applied at once."""
        return len(self.messages) <= AT_ONCE_MAX_COMMANDS and not (self.look_up or self.last_resort)

    def by_mailbox(self) -> list[Part]:
        """A part for each mailbox."""
        mailboxes = dict.fromkeys(message.mailbox for message in self.messages)
        return [
            self._replace(
                held={mailbox: self.held[mailbox]},
                messages=[message for message in self.messages if message.mailbox == mailbox],
            )
            for mailbox in mailboxes
        ]

    def halves(self) -> list[Part]:
        """Two parts, to be applied in this order."""
        middle = len(self.messages) // 2
        return self._cut(self.messages[:middle], self.messages[middle:])

    def by_terms(self) -> list[Part]:
        """A part for each run of messages that are decided on the same terms: what these ask for is known only before
        the messages are loaded."""
        if not any(_states_terms(message) for message in self.messages):
            return [self]
        runs = [list(run) for _, run in groupby(self.messages, _states_terms)]
        return [self] if len(runs) == 1 else self._cut(*runs)

    def _cut(self, *runs: Sequence[Message | DeadLetter]) -> list[Part]:
        """A part for each run, to be applied in this order. A mailbox that was not to be had for one has not come so
        far as the next expects, which leaves it out as well."""
        parts, held = [], self.held
        for run in runs:
            parts.append(self._replace(held=held, messages=run, look_up=True))
            held = {**held, **{message.mailbox: message.entry.entry_id for message in run}}
        return parts


def _states_terms(message: Message | DeadLetter) -> bool:
    return isinstance(message, Message) and type(message.command) is StateTerms
