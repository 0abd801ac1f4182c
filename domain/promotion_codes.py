"""Promotion codes: created in bulk, and withdrawn one by one. They belong to the mailbox of the shop's terms."""

import re
from typing import Annotated, ClassVar, Final
from uuid import UUID

import msgspec

from domain.limits import PROMOTION_CODE_MAX_CHARS, PROMOTION_CODES_AT_ONCE
from domain.model import Command, Context, Decision, Entity, Event, Rejection, Shop, decides, evolves
from domain.quote.bounds import whole
from domain.quote.terms.promotions import Code, folded_code
from domain.terms import PROMOTION, TermsPart, part_name, terms_slot


class PromotionCode(Entity, frozen=True):
    """A folded code; `says` is what it is for, when, and how often."""

    code: str
    says: Code

    def slot(self) -> int:
        return terms_slot()


CODE: Final = re.compile(rf"[!-~]{{1,{PROMOTION_CODE_MAX_CHARS}}}")
"""The pattern of a folded code."""

_Text = Annotated[str, msgspec.Meta(pattern=whole(CODE.pattern))]


class CreateCodes(Command, frozen=True):
    """Creates `codes`, which differ only in their text and id: `like` has the rest. Existing codes stay as they are."""

    promotion_id: UUID
    codes: Annotated[tuple[tuple[UUID, _Text], ...], msgspec.Meta(min_length=1, max_length=PROMOTION_CODES_AT_ONCE)]
    like: Code

    def __post_init__(self) -> None:
        if any(folded_code(text) != text for _, text in self.codes):
            raise ValueError("codes are folded")

    def slot(self) -> int:
        return terms_slot()


class GiveUpCode(Command, frozen=True):
    """Withdraws the code: it is no longer accepted."""

    code: _Text

    def slot(self) -> int:
        return terms_slot()


class CodeStated(Event, frozen=True):
    """The code as it stands now."""

    type: ClassVar[str] = "promotion_code.stated"
    text: str
    says: Code

    def subject(self) -> str:
        return self.text


class CodesUnchanged(Event, frozen=True):
    """All of the codes existed already, or the code was given up before."""

    type: ClassVar[str] = "promotion_code.unchanged"
    promotion_id: UUID

    def subject(self) -> str:
        return str(self.promotion_id)


@decides(CreateCodes)
def _create(shop: Shop, command: CreateCodes, context: Context) -> Decision:
    part = shop.of(TermsPart).get(part_name(PROMOTION, command.promotion_id))
    if part is None or part.promotion is None or not part.promotion.coded:
        about = {"promotion_id": str(command.promotion_id)}
        return Rejection("promotion_not_found", "There is no such promotion, or it takes no codes.", about)
    known = shop.of(PromotionCode)
    replace = msgspec.structs.replace
    new = [
        CodeStated(text, replace(command.like, id=code_id, code=text, promotion_id=command.promotion_id))
        for code_id, text in command.codes
        if text not in known
    ]
    return new or (CodesUnchanged(command.promotion_id),)


@decides(GiveUpCode)
def _give_up(shop: Shop, command: GiveUpCode, context: Context) -> Decision:
    known = shop.of(PromotionCode).get(command.code)
    if known is None:
        return Rejection("code_not_found", "There is no such code.", {"code_text": command.code})
    if not known.says.active:
        return (CodesUnchanged(known.says.promotion_id),)
    return (CodeStated(known.code, msgspec.structs.replace(known.says, active=False)),)


@evolves(CodeStated)
def _stated(shop: Shop, event: CodeStated) -> None:
    shop.of(PromotionCode)[event.text] = PromotionCode(event.text, event.says)


@evolves(CodesUnchanged)
def _unchanged(shop: Shop, event: CodesUnchanged) -> None:
    """The codes stay as they are."""


def codes_of(shop: Shop) -> dict[str, Code]:
    """The loaded codes."""
    return {code: known.says for code, known in shop.of(PromotionCode).items()}
