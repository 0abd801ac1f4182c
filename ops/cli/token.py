"""`tidegate token`: mints an access token with this installation's keys."""

import json
import time
from math import isnan
from typing import Final

import click

from domain.fields.people import PRINCIPAL
from domain.roles import ROLES
from ops.cli.values import taken
from runtime.settings import settings
from runtime.signing_keys import key_ring
from runtime.tokens import mint

DEFAULT_HOURS: Final = 12.0
HOURS_MAX: Final = 876_000
"""A hundred years."""
_SECONDS_PER_HOUR: Final = 3600


@click.command()
@click.option("--role", type=click.Choice(ROLES), default="customer", show_default=True, help="The role.")
@click.option("--subject", metavar="NAME", help="The principal. [default: demo-ROLE]")
@click.option(
    "--hours",
    type=click.FloatRange(0, HOURS_MAX, min_open=True),
    default=DEFAULT_HOURS,
    show_default=True,
    help="How long it is valid.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the token with its subject, roles and expiry as JSON.")
def token(role: str, subject: str | None, hours: float, as_json: bool) -> None:
    """Print an access token, signed with TIDEGATE_JWT_SECRET, or with the first of TIDEGATE_SIGNING_KEYS.

    Anyone who has these can mint one: protect and rotate them as you would a password.
    """
    subject = demo_subject(role) if subject is None else taken("--subject", PRINCIPAL, subject)
    if isnan(hours):
        raise click.BadParameter("This is not a number.", param_hint="--hours")
    lifetime_seconds = max(1, round(hours * _SECONDS_PER_HOUR))
    now = int(time.time())
    minted = mint(key_ring(settings()), subject, [role], lifetime_seconds=lifetime_seconds, now=now)
    if as_json:
        click.echo(
            json.dumps({"token": minted, "subject": subject, "roles": [role], "expires_at": now + lifetime_seconds})
        )
    else:
        click.echo(minted)


def demo_subject(role: str) -> str:
    """The principal of a token when none is named."""
    return f"demo-{role}"
