"""Events for commands that changed nothing: every command leaves a trace in the log, whatever its outcome."""

from typing import Any, ClassVar
from uuid import UUID

from domain.model import Event, Shop, evolves


class CommandRejected(Event, frozen=True):
    """A rule refused the command; `code` and `particulars` are the rejection's."""

    type: ClassVar[str] = "command.rejected"
    command_id: UUID
    command: str
    code: str
    detail: str
    particulars: dict[str, Any]

    def subject(self) -> str:
        return str(self.command_id)


class CommandFailed(Event, frozen=True):
    """The command could not be decided or written; it is among the dead letters, under its mailbox and entry."""

    type: ClassVar[str] = "command.failed"
    command_id: UUID
    command: str
    code: str
    detail: str

    def subject(self) -> str:
        return str(self.command_id)


class CommandRepeated(Event, frozen=True):
    """The principal has already used this idempotency key for the same request: the first outcome stands."""

    type: ClassVar[str] = "command.repeated"
    command_id: UUID
    command: str
    first_command_id: UUID

    def subject(self) -> str:
        return str(self.command_id)


@evolves(CommandRejected)
@evolves(CommandFailed)
@evolves(CommandRepeated)
def _nothing_changed(shop: Shop, event: CommandRejected | CommandFailed | CommandRepeated) -> None:
    pass
