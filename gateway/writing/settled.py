"""Writes whose answer is made of what was decided: there is no 202 for a token, or for a secret that is shown once."""

from typing import Final

from domain.model import Actor, Command
from gateway.web.problems import Problem
from gateway.writing.submit import Ask, Submitter
from runtime.records import Outcome

WAIT_SECONDS: Final = 10


async def settled(submitter: Submitter, actor: Actor, command: Command, resource: str) -> Outcome:
    """The outcome of the command, applied. Raises a refused one as its Problem, and a 503 Problem if it takes longer:
    it may be applied all the same, which does no harm to whoever tries again."""
    asked = Ask(actor, key=None, fingerprint=None, wait=WAIT_SECONDS, preferred=False)
    accepted = await submitter.submit(asked, command, resource)
    if accepted.outcome is None:
        raise Problem("undecided", "This was not decided in time; try again soon.")
    return accepted.outcome
