"""The promotions that may apply to a basket: automatic ones, and those for which a code was typed."""

from domain.quote.basket import Basket
from domain.quote.promoting import Candidate
from domain.quote.quoted import Remark
from domain.quote.terms import Terms
from domain.quote.terms.promotions import folded_code


def candidates(basket: Basket, terms: Terms) -> tuple[list[Candidate], list[Remark]]:
    """The promotions, each once, and a remark on each code that names none."""
    found = [Candidate(promotion) for promotion in terms.promotions if not promotion.coded]
    if not basket.codes:
        return found, []
    promotions = {promotion.id: promotion for promotion in terms.promotions if promotion.coded}
    remarks = []
    for place, typed in enumerate(basket.codes):
        field = f"/codes/{place}"
        code = terms.codes.get(folded_code(typed))
        if code is None or not code.active or code.promotion_id not in promotions:
            remarks.append(Remark(field, "code_unknown", "There is no such code."))
        elif any(one.code is not None and one.promotion.id == code.promotion_id for one in found):
            remarks.append(Remark(field, "code_repeated", "Another code is for the same promotion."))
        else:
            found.append(Candidate(promotions[code.promotion_id], code, field))
    return found, remarks
