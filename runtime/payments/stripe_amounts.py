"""Amounts as Stripe counts them: also in minor units, but for some currencies in units of its own.

From https://docs.stripe.com/currencies: some currencies have no minor unit at Stripe, two that have none elsewhere are
counted in hundredths, and amounts of those with three decimals end with 0.
"""

from typing import Final

from domain.money import minor_digits
from runtime.outside import Refused

_WITHOUT_DIGITS: Final = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_SCALES: Final = (1, 10, 100, 1_000)
_THREE_DIGITS: Final = 3
_DIGITS: Final = 2


def to_stripe(amount_minor: int, currency: str) -> int:
    """Our amount in Stripe's units. Raises Refused if these cannot express it."""
    ours, theirs = minor_digits(currency), _digits(currency)
    amount, rest = divmod(amount_minor * _SCALES[theirs], _SCALES[ours])
    if rest or (theirs == _THREE_DIGITS and amount % 10):
        raise Refused(f"{amount_minor} minor units of {currency} cannot be charged by Stripe")
    return amount


def from_stripe(amount: int, currency: str) -> int:
    """Stripe's amount in our minor units."""
    return amount * _SCALES[minor_digits(currency)] // _SCALES[_digits(currency)]


def _digits(currency: str) -> int:
    if currency in _WITHOUT_DIGITS.split():
        return 0
    return max(_DIGITS, minor_digits(currency))
