"""What commands about the shop's terms are decided on: all parts, so that their number stays bounded."""

from domain.terms import StateTerms, TermsPart
from workers.handlers import reads
from workers.loading import ReadSet


@reads(StateTerms)
def _all(command: StateTerms, into: ReadSet) -> None:
    into.add_all(TermsPart)
