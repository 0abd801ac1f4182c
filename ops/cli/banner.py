"""What `tidegate up` prints when everything is ready: URLs, how to sign in, tokens to paste, and a first order."""

import json
import shlex
from typing import Final

from ops.cli.token import DEFAULT_HOURS, demo_subject
from ops.demo_people import DEMO_ACCOUNTS
from ops.processes import reachable
from runtime.settings import Settings
from runtime.signing_keys import key_ring
from runtime.tokens import mint

_WAIT_SECONDS: Final = 5
_QUANTITY: Final = 2


def banner(
    config: Settings, *, database_url: str, redis_url: str, sandbox_url: str | None = None, sku: str | None
) -> str:
    """Lines for the terminal. In production, no token is minted and no server's password shown. `sku` is one that can
    be ordered; without it, no order is suggested.
    """
    base = f"http://{_in_url(reachable(config.host))}:{config.port}"
    lines = [
        "",
        "Tidegate is ready.",
        "",
        f"  API         {base}/api/v1",
        f"  API docs    {base}/api/docs",
        f"  Dashboard   {base}/dashboard",
        f"  Metrics     {_metrics_url(config, base)}",
    ]
    if config.mode == "development":
        customer = _token(config, "customer")
        if sandbox_url is not None:
            lines.append(f"  Sandbox     {sandbox_url}  (payments that move no money)")
        lines += [
            f"  Postgres    {database_url}",
            f"  Redis       {redis_url}",
            "",
            "  Sign in at the API docs or the dashboard as:",
            *(f"    {account.email:<28} {account.password}" for account in DEMO_ACCOUNTS),
            "",
            f"  Staff token, valid for {DEFAULT_HOURS:.0f} hours:",
            _token(config, "staff"),
            "",
            f"  Customer token, valid for {DEFAULT_HOURS:.0f} hours:",
            customer,
        ]
        if sku is not None:
            lines += ["", "  Place an order:", _order(base, customer, sku)]
    lines += ["", f"  Ctrl-C stops everything; the data stays in {config.home}.", ""]
    return "\n".join(lines)


def _metrics_url(config: Settings, base: str) -> str:
    """Where a scraper finds metrics; on the gateway's own port, it may need a token."""
    if config.metrics_port is not None:
        return f"http://{_in_url(reachable(config.metrics_host))}:{config.metrics_port}/metrics"
    return f"{base}/metrics" + ("" if config.metrics_are_public else "  (with a token that has the scope metrics:read)")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _token(config: Settings, role: str) -> str:
    return mint(key_ring(config), demo_subject(role), [role], lifetime_seconds=round(DEFAULT_HOURS * 3600))


def _order(base: str, token: str, sku: str) -> str:
    """A `curl` on one line, for pasting."""
    order = {"lines": [{"sku": sku, "quantity": _QUANTITY}]}
    return shlex.join(
        [
            *("curl", "-sS", f"{base}/api/v1/orders"),
            *("-H", f"Authorization: Bearer {token}"),
            *("-H", "Content-Type: application/json"),
            *("-H", f"Prefer: wait={_WAIT_SECONDS}"),
            *("-d", json.dumps(order)),
        ]
    )
