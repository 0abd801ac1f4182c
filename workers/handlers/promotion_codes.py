"""What commands about codes for promotions are decided on."""

from domain.promotion_codes import CreateCodes, GiveUpCode, PromotionCode
from domain.terms import PROMOTION, TermsPart, part_name
from workers.handlers import reads
from workers.loading import ReadSet


@reads(CreateCodes)
def _create(command: CreateCodes, into: ReadSet) -> None:
    into.add(TermsPart, part_name(PROMOTION, command.promotion_id))
    for _, text in command.codes:
        into.add(PromotionCode, text)


@reads(GiveUpCode)
def _give_up(command: GiveUpCode, into: ReadSet) -> None:
    into.add(PromotionCode, command.code)
