"""`tidegate receive`: a small webhook receiver, to see signed events arrive, and as an example. It does what every
receiver should: it verifies the signature over the raw bytes, responds quickly, and recognises a repeat by its
`webhook-id`. It stores nothing.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Final

import click
import msgspec
from aiohttp import web
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError, WebhookVerificationError

from runtime.records import CloudEvent
from runtime.standard_webhooks import ID_HEADER

_DEFAULT_PORT: Final = 9_000
_REMEMBERED_MAX_IDS: Final = 10_000
_SHOWN_MAX_CHARS: Final = 2_000


class Receiver:
    """Verifies and prints."""

    def __init__(self, secret: str) -> None:
        self._webhook = Webhook(secret)
        self._seen: deque[str] = deque(maxlen=_REMEMBERED_MAX_IDS)

    def app(self) -> web.Application:
        """Takes events by POST at any path."""
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            self._webhook.verify(body, dict(request.headers), json_parse=False)
            event = msgspec.json.decode(body, type=CloudEvent)
        except (WebhookVerificationError, ValueError) as error:
            _say(f"✗ refused, {len(body)} bytes: {error}")
            return web.Response(status=400)
        message_id = request.headers[ID_HEADER]
        again = " (again)" if message_id in self._seen else ""
        self._seen.append(message_id)
        data = bytes(event.data).decode()
        _say(f"✓ {event.seq} {event.type} {event.subject}{again}\n  {data[:_SHOWN_MAX_CHARS]}")
        return web.Response(status=204)


def _say(text: str) -> None:
    click.echo(f"{datetime.now().astimezone():%H:%M:%S} {text}")


@click.command()
@click.option(
    "--secret",
    required=True,
    envvar="TIDEGATE_WEBHOOK_SECRET",
    metavar="whsec_...",
    help="The secret in the response to registering the webhook. [env: TIDEGATE_WEBHOOK_SECRET]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=_DEFAULT_PORT, show_default=True, help="Port to listen on."
)
def receive(secret: str, host: str, port: int) -> None:
    """Receive webhooks, and print every event with a valid signature. Register http://127.0.0.1:9000/ at POST
    /api/v1/webhooks, and pass the secret from the response. Events that happened in between arrive as soon as this
    runs.
    """
    try:
        receiver = Receiver(secret)
    except (ValueError, EmptyWebhookSecretError):
        raise click.BadParameter("this is not a webhook secret", param_hint="--secret") from None
    try:
        web.run_app(
            receiver.app(),
            host=host,
            port=port,
            access_log=None,
            print=lambda *_: click.echo(f"Receiving at http://{host}:{port}/, until Ctrl-C."),
        )
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror}") from error
