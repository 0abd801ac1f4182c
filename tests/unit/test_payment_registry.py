"""Which providers take payments: by the settings, by name, and none that nobody named."""

import pytest
from pydantic import ValidationError

from runtime.outside import Refused
from runtime.payments.provider import Act, WebhookInvalid
from runtime.payments.registry import Providers, UnknownProvider
from runtime.settings import Settings
from tests.payments import Book, new_uuid

SECRET = "a-secret-of-at-least-thirty-two-bytes"


async def test_the_settings_name_them() -> None:
    async with Providers(Settings()) as providers:
        assert [provider.name for provider in providers] == ["sandbox", "invoice"]
    async with Providers(Settings(mode="production", jwt_secret=SECRET)) as providers:
        assert [provider.name for provider in providers] == ["invoice"]
        with pytest.raises(UnknownProvider):
            providers["sandbox"]


def test_an_unknown_name_is_refused_at_the_start() -> None:
    with pytest.raises(UnknownProvider, match="paypol"):
        Providers(Settings(payment_providers="invoice, paypol"))


def test_the_sandbox_takes_no_real_orders() -> None:
    with pytest.raises(ValidationError, match="sandbox"):
        Settings(mode="production", jwt_secret=SECRET, payment_providers="sandbox")


async def test_nobody_is_asked_about_invoices_and_giving_one_up_needs_nobody() -> None:
    async with Providers(Settings(payment_providers="invoice")) as providers:
        book = Book(providers["invoice"])
        assert await book.create() == []
        assert book.take(await book.provider.ask(book.attempt)) == []
        assert book.amounts.charge_pending == 1_000
        with pytest.raises(WebhookInvalid):
            book.provider.parse_webhook(b"{}", {})
        with pytest.raises(Refused):
            await book.provider.capture(book.attempt, Act(str(new_uuid()), 1))
        await book.void()
        assert not book.amounts.is_pending
