"""What the log says of a command that changed nothing: every command leaves a trace, whatever became of it."""

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
    """The command could not be decided or written; it lies in the dead letters under its mailbox and entry."""

    type: ClassVar[str] = "command.failed"
    command_id: UUID
    command: str
    code: str
    detail: str

    def subject(self) -> str:
        return str(self.command_id)


class CommandRepeated(Event, frozen=True):
    """The principal had used the same idempotency key for the same request before: the first outcome stands."""

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
