"""Webhooks: each endpoint is its own reaction, so its events come in order and never wait for another endpoint. An
event that cannot be delivered is retried at growing intervals for as long as endpoints may fail; then a command
disables the endpoint, which is how staff are told. Its position stays: nothing is skipped when it resumes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from domain.disclosure import may_read
from domain.limits import REASON_MAX_CHARS
from domain.webhooks import ACTIVE, ANY, DELETED, DisableWebhook, Webhook, types_meant
from runtime import entities
from runtime.branches import read_branches
from runtime.mailboxes.post import MailboxesUnavailable, MailboxFull, PostQueueFull
from runtime.metrics import allow_reaction, reaction_kind
from runtime.records import EventRecord
from runtime.standard_webhooks import REACTION_PREFIX, reaction_name
from workers.failures import Away, backoff_seconds
from workers.reactions.commanding import SEND_PATIENCE_SECONDS, TIDEGATE
from workers.reactions.core import Failure, Reaction, Tools
from workers.reactions.delivery import Answer, Deliverer
from workers.reactions.rights import rights

_SECONDS_PER_HOUR: Final = 3_600

_log = logging.getLogger(__name__)

allow_reaction(reaction_kind(REACTION_PREFIX))


class NotDelivered(Away):
    """The endpoint did not accept the event. The event is not at fault, and waits."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.error)
        self.answer = answer


class Delivering(Reaction):
    """Delivers to one endpoint."""

    def __init__(self, tools: Tools, deliverer: Deliverer, webhook_id: UUID, event_types: Sequence[str]) -> None:
        super().__init__(tools.config)
        self.name = reaction_name(webhook_id)
        self.interests = None if ANY in event_types else types_meant(event_types)
        self._webhook_id = webhook_id
        self._tools = tools
        self._deliverer = deliverer

    async def handle(self, record: EventRecord) -> None:
        """Delivers the event to the endpoint as currently registered. Raises NotDelivered."""
        webhook = await self._webhook()
        if webhook is None or webhook.status != ACTIVE:
            raise Away("the endpoint is no longer active")
        if webhook.development and self._tools.config.mode == "production":
            raise Away("the endpoint's secret was created in development mode")
        if ANY not in webhook.event_types and record.type not in types_meant(webhook.event_types):
            return
        if not may_read(record.type, await rights(self._tools.pool, webhook, self._tools.config)):
            reason = f"Its owner may not read `{record.type}`: somebody who may can resume it."
            await self._disable(reason, webhook.version)
            raise Away(reason)
        source = (await read_branches(self._tools.pool)).source(record.seq)
        answer = await self._deliverer.deliver(webhook, record, source)
        await self._log_delivery(record, answer)
        if not answer.delivered:
            raise NotDelivered(answer)

    def retry_seconds(self, failure: Failure) -> float:
        """Never gives an event up. Waits like other reactions, but longer, and as long as the endpoint asks."""
        longest = self._tools.config.webhook_retry_max_seconds
        waits = backoff_seconds(failure.failures, longest)
        if isinstance(failure.error, NotDelivered) and failure.error.answer.retry_after is not None:
            return max(waits, min(failure.error.answer.retry_after, longest))
        return waits

    async def failed(self, record: EventRecord, failure: Failure) -> None:
        """Has the endpoint disabled if it is gone or has failed for too long."""
        error = failure.error
        if not isinstance(error, NotDelivered):
            return
        row = await self._tools.pool.fetchrow(
            "SELECT version, updated_at, now() AS now FROM webhooks WHERE id = $1", self._webhook_id
        )
        if row is None:
            return
        # An endpoint that has been changed since gets the full time again.
        since: datetime = max(failure.since, row["updated_at"])
        failing_seconds = (row["now"] - since).total_seconds()
        if error.answer.gone:
            reason = "It answered 410 Gone."
        elif failing_seconds >= self._tools.config.webhook_failing_max_seconds:
            hours = failing_seconds / _SECONDS_PER_HOUR
            reason = f"Event {record.seq} could not be delivered for {hours:.1f} hours: {error}"
        else:
            return
        await self._disable(reason, row["version"])

    async def _disable(self, reason: str, version: int) -> None:
        _log.warning("webhook %s is disabled: %s", self._webhook_id, reason)
        command = DisableWebhook(self._webhook_id, reason[:REASON_MAX_CHARS], version)
        try:
            await self._tools.sender.send(command, TIDEGATE, patience_seconds=SEND_PATIENCE_SECONDS)
        except (MailboxFull, PostQueueFull, MailboxesUnavailable) as unavailable:
            _log.warning("webhook %s is not disabled yet (%s)", self._webhook_id, type(unavailable).__name__)

    async def _webhook(self) -> Webhook | None:
        found = await entities.load(self._tools.pool, entities.table_of(Webhook), "id", [self._webhook_id])
        webhook = found[0] if found else None
        assert webhook is None or isinstance(webhook, Webhook)
        return webhook

    async def _log_delivery(self, record: EventRecord, answer: Answer) -> None:
        """Records the result, and drops the oldest."""
        await self._tools.pool.execute(
            """
            WITH oldest AS (
                SELECT id FROM webhook_deliveries WHERE webhook_id = $1 ORDER BY id DESC OFFSET $8 - 1 LIMIT 1
            ), gone AS (
                DELETE FROM webhook_deliveries d USING oldest o WHERE d.webhook_id = $1 AND d.id <= o.id
            )
            INSERT INTO webhook_deliveries (
                webhook_id, seq, event_type, attempt, delivered, status, error, duration_ms, at
            )
            SELECT $1, $2, $3, 1 + count(*), $4, $5, $6, $7, now()
            FROM webhook_deliveries WHERE webhook_id = $1 AND seq = $2
            """,
            self._webhook_id,
            record.seq,
            record.type,
            answer.delivered,
            answer.status,
            answer.error,
            round(answer.seconds * 1_000),
            self._tools.config.webhook_deliveries_kept,
        )


class Webhooks:
    """The source of these reactions: one for each active endpoint whose secret is valid in this mode."""

    def __init__(self, tools: Tools, deliverer: Deliverer) -> None:
        self._tools = tools
        self._deliverer = deliverer
        self._known: set[UUID] | None = None

    async def reactions(self) -> Sequence[Reaction]:
        rows = await self._tools.pool.fetch(
            "SELECT id, event_types FROM webhooks WHERE status = $1 AND (NOT development OR $2)",
            ACTIVE,
            self._tools.config.mode == "development",
        )
        if rows:
            await self._try_changed_ones_now()
        ids = {row["id"] for row in rows}
        if self._known is None or self._known - ids:
            await self._forget_deleted_ones()
        self._known = ids
        return [Delivering(self._tools, self._deliverer, UUID(int=row["id"].int), row["event_types"]) for row in rows]

    async def _try_changed_ones_now(self) -> None:
        """An endpoint that has been changed since its last failure is retried at once."""
        await self._tools.pool.execute(
            """
            UPDATE reactions r SET due_at = NULL FROM webhooks w
            WHERE w.status = $1 AND r.name = $2 || w.id::text AND r.due_at > now() AND r.updated_at < w.updated_at
            """,
            ACTIVE,
            REACTION_PREFIX,
        )

    async def _forget_deleted_ones(self) -> None:
        """The position of a deleted endpoint is no longer needed."""
        await self._tools.pool.execute(
            """
            WITH deleted AS (SELECT id FROM webhooks WHERE status = $1), forgotten AS (
                DELETE FROM webhook_deliveries d USING deleted WHERE d.webhook_id = deleted.id
            )
            DELETE FROM reactions r USING deleted WHERE r.name = $2 || deleted.id::text
            """,
            DELETED,
            REACTION_PREFIX,
        )
