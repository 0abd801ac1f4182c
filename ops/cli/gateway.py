"""How commands of the CLI reach the gateway: over HTTP, with a token, also from another machine.

Without a token, one is minted with this installation's keys; without a URL, the settings name the gateway. A refusal by
the gateway is one line that says why.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, TypeVar

import aiohttp
import click

from ops.processes import reachable
from runtime.settings import settings
from runtime.signing_keys import key_ring
from runtime.tokens import mint

API: Final = "/api/v1"

_PRINCIPAL: Final = "cli"
_TOKEN_SECONDS: Final = 12 * 3_600
_CONNECT_SECONDS: Final = 10.0
# A gateway that is silent for this long counts as gone.
_SILENCE_SECONDS: Final = 60.0

_C = TypeVar("_C", bound=Callable[..., Any])


class Access(NamedTuple):
    """Where the gateway is, and the token for it."""

    url: str
    token: str


def access_options(command: _C) -> _C:
    """The options of a command that talks to the gateway: `url` and `token`."""
    command = click.option("--url", help="The gateway. [default: the one in the settings]")(command)
    return click.option(
        "--token",
        envvar="TIDEGATE_TOKEN",
        help="An access token or API key, also as TIDEGATE_TOKEN. [default: minted with the keys in the settings]",
    )(command)


def access(url: str | None, token: str | None, role: str) -> Access:
    """The gateway and the token to use; a token minted here is for `role`."""
    config = settings()
    if token is None:
        token = mint(key_ring(config), _PRINCIPAL, [role], lifetime_seconds=_TOKEN_SECONDS, now=int(time.time()))
    return Access((url or f"http://{reachable(config.host)}:{config.port}").rstrip("/"), token)


@asynccontextmanager
async def gateway(to: Access) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with the gateway; paths are relative to its URL. Failures become one line."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
    headers = {"Authorization": f"Bearer {to.token}"}
    try:
        async with aiohttp.ClientSession(to.url, headers=headers, timeout=timeout) as session:
            yield session
    except aiohttp.ClientPayloadError as error:
        raise click.ClickException(f"{to.url} was cut short: {error}") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise click.ClickException(f"{to.url}: {error or 'no response'}; is Tidegate running there?") from error


async def checked(response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
    """The response, unless it is a problem. Raises ClickException with the problem's text."""
    if response.status < 400:
        return response
    try:
        problem = await response.json(content_type=None)
        said = f"{problem['detail']} ({problem['code']})"
    except (ValueError, KeyError, TypeError):
        said = f"{response.status} {response.reason}"
    raise click.ClickException(said)
