"""The sandbox's pages for buyers, without scripts: they show the amount to pay and which card to try. Afterwards, the
buyer is sent back to the shop, or sees the result.
"""

from __future__ import annotations

from html import escape
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from domain.money import written
from ops.sandbox.ledger import Moved, Paid

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #f6f7f9; --card: #fff; --line: #c9d0da; --act: #0b57d0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ebf0; --paper: #14181e; --card: #1e242c; --line: #4a5563; --act: #8ab4ff; }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 26rem; margin: 8vh auto; padding: 2rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; }
h1 { margin: 0 0 .5rem; font-size: 1rem; font-weight: 600; }
.amount { margin: 0 0 1.5rem; font-size: 2.2rem; font-weight: 700; font-variant-numeric: tabular-nums; }
form { display: grid; gap: .75rem; }
button { padding: .75rem 1rem; font: inherit; font-weight: 600; color: var(--act); background: none;
  border: 2px solid var(--act); border-radius: .375rem; cursor: pointer; }
button:first-child { color: var(--card); background: var(--act); }
button:focus-visible, a:focus-visible { outline: 3px solid var(--ink); outline-offset: 2px; }
.said { padding: .75rem 1rem; border-left: 4px solid var(--act); }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem 0; text-align: left; border-bottom: 1px solid var(--line); }
small { display: block; margin-top: 1.5rem; }
a { color: var(--act); }
"""

_HEADERS: Final = {
    # No `form-action`: browsers would also apply it to the redirect back to the shop.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none';"
    " frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

PAY: Final = (
    ("pay", "Pay"),
    ("decline", "Pay with a card that is declined"),
    ("step", "Pay with a card that asks for another step"),
    ("leave", "Give up, and go back to the shop"),
)
STEP: Final = (("confirm", "Yes, it is"), ("deny", "No, it is not"))


def may_return_to(return_url: str | None) -> bool:
    """Whether a buyer may be sent to this URL."""
    if return_url is None:
        return True
    parts = urlsplit(return_url)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def page(payment: Paid, movements: list[Moved]) -> web.Response:
    """The page of a payment in its current state."""
    last = movements[-1].status if movements else ""
    choices: tuple[tuple[str, str], ...] = ()
    if not payment.is_open:
        said = _ended(movements)
    elif last == "action_required":
        said, choices = "Your bank asks whether this payment is really yours.", STEP
    else:
        said, choices = (f"{movements[-1].message} Try another one." if last == "declined" else ""), PAY
    buttons = "".join(f'<button name="choice" value="{value}">{label}</button>' for value, label in choices)
    amount = written(payment.amount_minor, payment.currency)
    return _document(
        f"Pay {amount}",
        f"""<h1>Payment</h1>
<p class="amount">{amount}</p>
{f'<p class="said" role="status">{escape(said)}</p>' if said else ""}
{f'<form method="post">{buttons}</form>' if buttons else ""}
{_way_back(payment)}""",
    )


def index(payments: list[tuple[Paid, list[Moved]]]) -> web.Response:
    """The newest payments, each with its latest movement, and a link to its page."""
    rows = "".join(
        f'<tr><td><a href="/pay/{payment.id}">{written(payment.amount_minor, payment.currency)}</a></td>'
        f"<td>{_last(movements)}</td></tr>"
        for payment, movements in payments
    )
    table = f"<table><thead><tr><th>Payment</th><th>Last</th></tr></thead><tbody>{rows}</tbody></table>"
    return _document("Sandbox", f"<h1>Newest payments</h1>{table if rows else '<p>None yet.</p>'}")


def _document(title: str, main: str) -> web.Response:
    body = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/pay.css">
</head>
<body>
<main>
{main}
<small>This is a sandbox: no money is moved.</small>
</main>
</body>
</html>
"""
    return web.Response(text=body, content_type="text/html", headers=_HEADERS)


def _last(movements: list[Moved]) -> str:
    return f"{movements[-1].kind} {movements[-1].status}".replace("_", " ") if movements else "waits for its buyer"


def _way_back(payment: Paid) -> str:
    if payment.is_open or payment.return_url is None:
        return ""
    return f'<p><a href="{escape(payment.return_url)}">Back to the shop</a></p>'


def _ended(movements: list[Moved]) -> str:
    if any(moved.status == "succeeded" and moved.kind in ("authorization", "charge") for moved in movements):
        return "It is paid. Thank you."
    return "It was not paid, and can no longer be paid."
