"""Writes whose answer is made from the outcome: there is no 202 for a token, or for a secret that is shown once."""

from typing import Final

from domain.model import Actor, Command
from gateway.web.problems import Problem
from gateway.writing.submit import Ask, Submitter
from runtime.records import Outcome

WAIT_SECONDS: Final = 10


async def settled(submitter: Submitter, actor: Actor, command: Command, resource: str) -> Outcome:
    """The outcome of the applied command. Raises a refusal as its Problem, and a 503 Problem if it takes longer: it may
    still be applied, which does no harm when the client retries."""
    asked = Ask(actor, key=None, fingerprint=None, wait=WAIT_SECONDS, preferred=False)
    accepted = await submitter.submit(asked, command, resource)
    if accepted.outcome is None:
        raise Problem("undecided", "This was not decided in time; try again soon.")
    return accepted.outcome
