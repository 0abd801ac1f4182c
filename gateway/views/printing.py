"""Invoices as pages to be printed: one file, with nothing in it that is fetched from anywhere or runs."""

from __future__ import annotations

import base64
import hashlib
from functools import cache, partial
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from domain.money import written
from gateway.views.invoices import InvoiceView

_STYLE: Final = (
    "body{font:11pt sans-serif;max-width:50em;margin:2em auto;padding:0 1em;color:#111}"
    "header{display:flex;justify-content:space-between}table{width:100%;border-collapse:collapse;margin:1.5em 0}"
    "th,td{text-align:right;padding:.25em .5em;border-bottom:1px solid #ccc;font-variant-numeric:tabular-nums}"
    "th:first-child,td:first-child{text-align:left}tfoot tr.total{font-weight:bold}small{color:#555}"
)
_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
).encode()
"""The Content-Security-Policy of a page: its own style, and nothing else."""

_TITLES: Final = {"invoice": "Invoice", "credit_note": "Credit note"}


def printed(invoice: InvoiceView) -> str:
    """The page of an invoice or a credit note."""
    template, money = _environment().get_template("invoice.html.j2"), partial(written, currency=invoice.currency)
    style = Markup(_STYLE)  # noqa: S704 - ours
    return template.render(invoice=invoice, title=_TITLES[invoice.kind], style=style, money=money)


def prefers_page(accept: str) -> bool:
    """Whether an Accept header (RFC 9110, 12.5.1) asks for a page rather than for JSON."""
    weights: dict[str, float] = {}
    for part in accept.split(","):
        media_type, *parameters = (each.strip().lower() for each in part.split(";"))
        weight = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        try:
            weights[media_type] = float(weight)
        except ValueError:
            continue
    return _weight(weights, "text/html") > _weight(weights, "application/json")


def _weight(weights: dict[str, float], media_type: str) -> float:
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((weights[each] for each in ranges if each in weights), 0.0)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("gateway.views"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
