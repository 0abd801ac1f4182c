"""The taxes of a quote's parts: always on what a part costs after its discounts, never on its unit price.

By line, each tax of each line is rounded once. By order, each tax is computed on the sum of its lines, rounded once,
and handed out to the lines by largest remainder. Either way the lines' taxes add up to the order's, rate by rate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from domain.quote.quoted import TaxLine, TaxTotal
from domain.quote.terms.taxes import BY_ORDER, Charged, Taxing, added_to, included_in
from domain.quote.worksheet import Part
from domain.shares import shares


def tax(parts: Iterable[Part], taxing: Taxing) -> None:
    """Puts taxes on all parts but gift cards, which are taxed when they buy something; replaces the taxes computed for
    a different delivery."""
    taxed = [(part, taxing.charged(part.tax_class)) for part in parts if part.offer is None or not part.offer.gift_card]
    for part, _ in taxed:
        part.taxes, part.tax_minor = (), 0
    if taxing.policy.rounding == BY_ORDER:
        _by_order(taxed, included=taxing.policy.included)
    else:
        for part, taxes in taxed:
            _put(part, taxes, _by_line(part.left_minor, taxes, included=taxing.policy.included))


def _by_line(left_minor: int, taxes: Sequence[Charged], *, included: bool) -> list[int]:
    if included:
        return _split(included_in(left_minor, sum(one.rate_ppm for one in taxes)), taxes)
    return [added_to(left_minor, one.rate_ppm) for one in taxes]


def _split(amount_minor: int, taxes: Sequence[Charged]) -> list[int]:
    return shares(amount_minor, [one.rate_ppm for one in taxes])


def _by_order(taxed: Sequence[tuple[Part, tuple[Charged, ...]]], *, included: bool) -> None:
    alike: dict[tuple[Charged, ...], list[Part]] = defaultdict(list)
    for part, taxes in taxed:
        alike[taxes].append(part)
    if included:
        for taxes, parts in alike.items():
            lefts = [part.left_minor for part in parts]
            contained = included_in(sum(lefts), sum(one.rate_ppm for one in taxes))
            for part, amount in zip(parts, shares(contained, lefts), strict=True):
                _put(part, taxes, _split(amount, taxes))
        return
    by_tax: dict[Charged, list[Part]] = defaultdict(list)
    for taxes, parts in alike.items():
        for one in taxes:
            by_tax[one].extend(parts)
    for one, parts in sorted(by_tax.items(), key=lambda item: item[0]):
        lefts = [part.left_minor for part in parts]
        for part, amount in zip(parts, shares(added_to(sum(lefts), one.rate_ppm), lefts), strict=True):
            _put(part, (one,), [amount])


def _put(part: Part, taxes: Sequence[Charged], amounts: Sequence[int]) -> None:
    part.taxes += tuple(
        TaxLine(one.name, one.country, one.rate_bp, one.reason, amount, one.extra_ppm)
        for one, amount in zip(taxes, amounts, strict=True)
    )
    part.tax_minor += sum(amounts)


def tax_totals(parts: Iterable[Part], *, included: bool) -> tuple[TaxTotal, ...]:
    """The taxes of all parts by rate, in the order in which the parts name them."""
    nets: dict[Charged, int] = defaultdict(int)
    amounts: dict[Charged, int] = defaultdict(int)
    for part in parts:
        net = part.left_minor - part.tax_minor if included else part.left_minor
        charged = [Charged(line.name, line.country, line.rate_bp, line.reason, line.extra_ppm) for line in part.taxes]
        for one in dict.fromkeys(charged):  # a provider may name the same tax twice
            nets[one] += net
        for one, line in zip(charged, part.taxes, strict=True):
            amounts[one] += line.amount_minor
    return tuple(
        TaxTotal(one.name, one.country, one.rate_bp, one.reason, nets[one], amounts[one], one.extra_ppm) for one in nets
    )
