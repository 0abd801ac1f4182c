"""`tidegate watch`: follows the feed, and shows it in the terminal with `ops.console.watchboard`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from typing import Final

import aiohttp
import click
from rich.console import Console
from rich.live import Live

from ops.cli.token import demo_subject
from ops.console.watchboard import Board
from ops.processes import reachable
from runtime.settings import Settings, settings
from runtime.signing_keys import key_ring
from runtime.tokens import mint
from tidegate.client import NOT_THIS_LOG_CODES, Feed, FeedRefused

_REFRESH_PER_SECOND: Final = 4
_TOKEN_SECONDS: Final = 900


@click.command(short_help="Watch orders, revenue, stock and backlog live, in the terminal.")
@click.option("--url", help="The gateway. [default: the one running on this machine]")
@click.option("--token", help="A staff member's bearer token. [default: minted with this installation's key]")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="Stop after this long, leaving the last picture.")
def watch(url: str | None, token: str | None, seconds: float | None) -> None:
    """Show what the dashboard shows, until Ctrl-C. A lost connection is resumed without a gap."""
    config = settings()
    address = url or f"http://{reachable(config.host)}:{config.port}"

    async def fresh_token() -> str:
        return token or _mint(config)

    board = Board(address)
    console = Console()
    try:
        with suppress(KeyboardInterrupt, TimeoutError):
            asyncio.run(_watch(board, console, address, fresh_token, seconds))
    except FeedRefused as refused:
        raise click.ClickException(str(refused)) from None
    console.print(board)


def _mint(config: Settings) -> str:
    return mint(key_ring(config), demo_subject("staff"), ["staff"], lifetime_seconds=_TOKEN_SECONDS)


async def _watch(
    board: Board, console: Console, url: str, token: Callable[[], Awaitable[str]], seconds: float | None
) -> None:
    """Follows until it is refused or the time is up (TimeoutError)."""
    async with asyncio.timeout(seconds), aiohttp.ClientSession() as http:
        live = Live(board, console=console, refresh_per_second=_REFRESH_PER_SECOND, screen=True)
        with live if console.is_terminal else nullcontext():
            while True:
                feed = Feed(http, url, token, ["orders", "stats"], on_state=board.state, on_stats=board.counted)
                try:
                    async for event in feed:
                        board.happened(event)
                except FeedRefused as refused:
                    if refused.code not in NOT_THIS_LOG_CODES:
                        raise
                    board.resync()
