"""The bugs that cost money, for `tests.money`. Each is a function that spoils a module of the application, once that
has been imported."""

from typing import Any, Final
from uuid import uuid4


def key_dropped(module: Any) -> None:
    """A provider does not recognise a repeated request: each repetition has a new idempotency key."""
    original = module.Sandbox._does

    async def does(self: Any, path: str, body: Any, key: str) -> Any:
        return await original(self, path, body, str(uuid4()))

    module.Sandbox._does = does


def created_anew(module: Any) -> None:
    """A payment of which no answer came is created once more, as another one."""
    original = module.Sandbox.create
    asked = set()

    async def create(self: Any, attempt: Any, **how: Any) -> Any:
        if attempt.payment_id in asked:
            attempt = module.msgspec.structs.replace(attempt, payment_id=uuid4())
        asked.add(attempt.payment_id)
        return await original(self, attempt, **how)

    module.Sandbox.create = create


def outcome_twice(module: Any) -> None:
    """An outcome that is told in a webhook as well counts twice: what names the act is the telling."""
    original = module.Sandbox.parse_webhook

    def parse_webhook(self: Any, body: bytes, headers: Any) -> Any:
        return [
            module.msgspec.structs.replace(
                report,
                entries=tuple(
                    module.msgspec.structs.replace(entry, reference=f"{entry.reference}-{entry.at}")
                    for entry in report.entries
                ),
            )
            for report in original(self, body, headers)
        ]

    module.Sandbox.parse_webhook = parse_webhook


def lost_is_declined(module: Any) -> None:
    """An answer that is lost counts as a no."""
    from workers.failures import Away

    async def outcome(provider: Any, attempt: Any, kind: Any, act: Any, call: Any) -> Any:
        try:
            return await call
        except (module.Refused, Away):
            at = module.datetime.now(module.UTC)
            failure = module.Entry(module.FAILURES[kind], act.reference, act.amount_minor, at)
            return module.Report(attempt.payment_id, attempt.provider_reference, attempt.currency, (failure,))

    assert module._outcome, "what it replaces"
    module._outcome = outcome


def not_let_go(module: Any) -> None:
    """Money authorized for a cancelled or expired order is not voided, and attempts to pay it continue."""
    module.let_go = lambda payments, context, reason: iter(())


def cards_keep(module: Any) -> None:
    """What cards paid for a cancelled or expired order is not returned to them."""
    module.returns = lambda payments, at: iter(())


PLACES: Final = {
    "key_dropped": ("runtime.payments.sandbox", key_dropped),
    "created_anew": ("runtime.payments.sandbox", created_anew),
    "outcome_twice": ("runtime.payments.sandbox", outcome_twice),
    "lost_is_declined": ("workers.performers.payments", lost_is_declined),
    "not_let_go": ("domain.ending", not_let_go),
    "cards_keep": ("domain.ending", cards_keep),
}
