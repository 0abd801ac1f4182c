"""Writes whose response needs the outcome: a 202 cannot carry a token, or a secret that is shown only once."""

from typing import Final

from domain.model import Actor, Command
from gateway.web.problems import Problem
from gateway.writing.submit import Ask, Submitter
from runtime.records import Outcome

WAIT_SECONDS: Final = 10


async def settled(submitter: Submitter, actor: Actor, command: Command, resource: str) -> Outcome:
    """The outcome of the applied command. Raises a rejection as its Problem, and a 503 Problem if it takes too long:
    the command may still be applied, which does no harm if the client retries."""
    asked = Ask(actor, key=None, fingerprint=None, wait=WAIT_SECONDS, preferred=False)
    accepted = await submitter.submit(asked, command, resource)
    if accepted.outcome is None:
        raise Problem("undecided", "This was not decided in time; try again soon.")
    return accepted.outcome
