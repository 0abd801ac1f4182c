"""Currencies: the ISO 4217 codes that people pay with, and how amounts are written."""

from typing import Final

_CODES: Final = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD "
    "CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD "
    "GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD "
    "KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO "
    "NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE "
    "SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND "
    "VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG "
)

CURRENCIES: Final = frozenset(_CODES.split())
"""ISO 4217, list one (2025), without funds, metals and testing codes."""

_WITHOUT_DIGITS: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_WITH_THREE_DIGITS: Final = "BHD IQD JOD KWD LYD OMR TND"
_MINOR_DIGITS: Final = dict.fromkeys(_WITHOUT_DIGITS.split(), 0) | dict.fromkeys(_WITH_THREE_DIGITS.split(), 3)


def minor_digits(currency: str) -> int:
    """The number of decimal places of an amount (ISO 4217's exponent): n if a minor unit is 10**-n."""
    return _MINOR_DIGITS.get(currency, 2)


def written(amount_minor: int, currency: str) -> str:
    """An amount in minor units as people read it, as in `GBP 1,234.50`."""
    digits = minor_digits(currency)
    whole, part = divmod(abs(amount_minor), 10**digits)
    sign = "-" if amount_minor < 0 else ""
    return f"{currency} {sign}{whole:,}" + (f".{part:0{digits}}" if digits else "")
