"""Runs of entries to apply, and the parts into which they are split: each part is one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from domain.terms import StateTerms
from runtime.mailboxes.inbox import Entry
from workers.messages import DeadLetter, Message

AT_ONCE_MAX_COMMANDS: Final = 64
"""The largest batch that is first tried in one statement (see `workers/at_once.py`)."""


class Run(NamedTuple):
    """Entries, each with its mailbox, in the order in which to apply them; and the positions after which they were
    read."""

    positions: dict[int, str]
    entries: Sequence[tuple[int, Entry]]


class Part(NamedTuple):
    """Messages to apply in one transaction, and the positions that their mailboxes must still have. With `look_up`,
    earlier commands are looked up first. A `last_resort` is the dead letter of a message that could not be applied: if
    even that cannot be written, the mailbox waits."""

    held: Mapping[int, str]
    messages: Sequence[Message | DeadLetter]
    look_up: bool = False
    last_resort: bool = False

    @property
    def is_small(self) -> bool:
        """Whether to try it in one statement first."""
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
        """A part for each run of messages that are decided on the same terms: what a message needs loaded depends on
        the terms, so they must not change within a part."""
        if not any(_states_terms(message) for message in self.messages):
            return [self]
        runs = [list(run) for _, run in groupby(self.messages, _states_terms)]
        return [self] if len(runs) == 1 else self._cut(*runs)

    def _cut(self, *runs: Sequence[Message | DeadLetter]) -> list[Part]:
        """A part for each run, to be applied in this order. A mailbox that one part had to skip is not at the position
        that the next one expects, so that one skips it, too."""
        parts, held = [], self.held
        for run in runs:
            parts.append(self._replace(held=held, messages=run, look_up=True))
            held = {**held, **{message.mailbox: message.entry.entry_id for message in run}}
        return parts


def _states_terms(message: Message | DeadLetter) -> bool:
    return isinstance(message, Message) and type(message.command) is StateTerms
