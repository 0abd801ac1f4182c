"""Mails report what happened, in headers and bodies that no name, address or title can break out of."""

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest

from domain.money import minor_digits, written
from domain.quote.breakdown import Sum
from workers.reactions.mail.message import (
    PAYMENT_FAILED,
    REFUNDED,
    Item,
    NoAddress,
    Notice,
    Subject,
    Writer,
    item,
    rows,
    shown_name,
)

_ORDER = UUID("01a20422-d325-7a37-a371-bc7ac806917b")


def subject(**changes: Any) -> Subject:
    usual = Subject(
        seq=33,
        kind="order.confirmed",
        at=datetime(2026, 11, 22, 16, 42, 1, tzinfo=UTC),
        order_id=_ORDER,
        number="T-000123",
        name="Ann Smith",
        address="ann@example.com",
        items=[item("TEA", "Green tea, 100 g", 3, 450, "GBP")],
        sums=rows(
            [Sum("subtotal", "Subtotal", 1_350), Sum("discount", "Spring", -250), Sum("total", "Total", 1_100)], "GBP"
        ),
    )
    return usual._replace(**changes)


def sent(about: Subject | Notice) -> EmailMessage:
    """The mail as the one who receives it reads it."""
    wire = Writer("The Shop <orders@shop.example>").write(about).content
    received = email.message_from_bytes(wire, policy=email.policy.default)
    assert isinstance(received, EmailMessage)
    assert not received.defects
    return received


def bodies(mail: EmailMessage) -> tuple[str, str]:
    """Plain text and HTML."""
    plain, html = mail.get_body(["plain"]), mail.get_body(["html"])
    assert isinstance(plain, EmailMessage)
    assert isinstance(html, EmailMessage)
    return plain.get_content(), html.get_content()


def test_a_confirmation_lists_the_order_as_text_and_html() -> None:
    mail = sent(subject())
    assert mail["Message-ID"] == f"<{_ORDER}.33@shop.example>"
    assert mail["Date"].datetime == datetime(2026, 11, 22, 16, 42, 1, tzinfo=UTC)
    assert (mail["From"], mail["To"]) == ("The Shop <orders@shop.example>", "Ann Smith <ann@example.com>")
    assert mail["Subject"] == "Your order T-000123 is confirmed"
    assert mail["Auto-Submitted"] == "auto-generated"
    for body in bodies(mail):
        for words in (
            "Hello Ann Smith,",
            "Green tea, 100 g",
            "GBP 4.50",
            "GBP 13.50",
            "Spring",
            "GBP -2.50",
            "GBP 11.00",
            "T-000123",
            "The Shop",
        ):
            assert words in body


@pytest.mark.parametrize("was_confirmed", [True, False])
def test_a_cancellation_says_whether_it_had_been_confirmed(was_confirmed: bool) -> None:
    mail = sent(subject(kind="order.cancelled", was_confirmed=was_confirmed))
    assert mail["Subject"] == "Your order T-000123 is cancelled"
    for body in bodies(mail):
        assert ("had been confirmed" in body) == was_confirmed


def test_money_that_was_given_back_is_named() -> None:
    mail = sent(subject(kind=REFUNDED, amount="GBP 2.00"))
    assert mail["Subject"] == "Refund for your order T-000123"
    assert all("refunded GBP 2.00" in body for body in bodies(mail))


@pytest.mark.parametrize("to_card", [False, True])
def test_only_money_that_a_bank_gives_back_takes_days(to_card: bool) -> None:
    for body in bodies(sent(subject(kind=REFUNDED, amount="GBP 2.00", to_card=to_card))):
        assert ("Your bank may take a few days" in body) is not to_card
        assert ("back on your gift card or in your store credit" in body) is to_card


def test_who_could_not_pay_is_told_that_nothing_was_charged() -> None:
    mail = sent(subject(kind=PAYMENT_FAILED))
    assert mail["Subject"] == "Your payment for order T-000123 did not go through"
    assert all("nothing was charged" in body for body in bodies(mail))


def test_a_repeat_is_the_same_to_the_byte() -> None:
    writer = Writer("orders@shop.example")
    assert writer.write(subject()).content == writer.write(subject()).content


def test_html_is_escaped() -> None:
    title = '<script>alert("1")</script>'
    mail = sent(subject(name="<b>Ann</b>", items=[Item("TEA", title, 1, "GBP 1.00", "GBP 1.00")]))
    plain, html = bodies(mail)
    assert title in plain
    assert "<script" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ann\r\nBcc", "Ann Bcc"),
        ("Ann\r\nBcc: everybody@example.com", ""),
        ("Ann\x00\x1b[31m", "Ann [31m"),
        ('Ann" <eve>, "', 'Ann" <eve>, "'),
        ('Ann" <eve@example.com>, "', ""),
        ("Zoë Ångström 茶", "Zoë Ångström 茶"),
        ("A" * 500, "A" * 100),
        ("", ""),
    ],
)
def test_a_name_cannot_become_a_header(name: str, shown: str) -> None:
    mail = sent(subject(name=name))
    (recipient,) = mail["To"].addresses
    assert (recipient.display_name, recipient.addr_spec) == (shown, "ann@example.com")
    assert "Bcc" not in mail


@pytest.mark.parametrize(
    "name",
    [
        "https://win.example/prize",
        "www.win.example",
        "Your prize: win.example",
        "win.EXAMPLE now",
        "win\u3002example",
        "\uff57\uff49\uff4e\uff0e\uff45\uff58ample",
        "call tel:0900",
        "write to prize@win",
        "\\\\win\\share",
    ],
)
def test_a_name_that_looks_like_a_link_is_left_out(name: str) -> None:
    mail = sent(subject(name=name))
    assert mail["To"] == "ann@example.com"
    for body in bodies(mail):
        assert "Hello," in body
        assert "win" not in body


@pytest.mark.parametrize("name", ["J. R. R. Tolkien", "St. John", "Anne-Marie O'Neil", "Zoë 茶", "Dr. M. L. King, Jr."])
def test_a_real_name_is_kept(name: str) -> None:
    assert shown_name(name) == name


@pytest.mark.parametrize("link", [None, "https://shop.example/confirm#token=abc.def"])
@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("account.created", "Confirm your address"),
        ("account.registered_again", "Confirm your address"),
        ("account.password_reset_requested", "Reset your password"),
    ],
)
def test_a_notice_gives_its_reader_the_link_or_the_token(kind: str, title: str, link: str | None) -> None:
    at = datetime(2026, 11, 22, 16, 42, 1, tzinfo=UTC)
    notice = Notice(7, kind, at, UUID(int=7), "Ann", "ann@example.com", "abc.def", link, 24)
    mail = sent(notice)
    assert mail["Subject"] == title
    for body in bodies(mail):
        assert (link or "abc.def") in body
        assert "24 hours" in body
    assert "Hello Ann," in bodies(mail)[0]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "@example.com",
        "ann@",
        "ann@example.com\r\nBcc: eve@example.com",
        "a b@example.com",
        "ann@ex\nample.com",
        "ann@example..com",
        "ann@example.com, eve@example.com",
        "<ann@example.com>",
        "ann@example.com>",
        "zoë@example.com",
    ],
)
def test_an_invalid_address_gets_no_mail(address: str) -> None:
    with pytest.raises(NoAddress):
        Writer("orders@shop.example").write(subject(address=address))


def test_a_non_ascii_host_is_written_in_punycode() -> None:
    assert sent(subject(address="ann@bücher.example"))["To"].addresses[0].addr_spec == "ann@xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (123_450, "GBP", "GBP 1,234.50"),
        (5, "EUR", "EUR 0.05"),
        (0, "USD", "USD 0.00"),
        (1_234, "JPY", "JPY 1,234"),
        (1_234, "KWD", "KWD 1.234"),
        (-250, "GBP", "GBP -2.50"),
    ],
)
def test_amounts_are_written_in_the_currencys_own_digits(amount: int, currency: str, text: str) -> None:
    assert written(amount, currency) == text


def test_most_currencies_have_two_digits() -> None:
    assert [minor_digits(currency) for currency in ("GBP", "CLP", "TND")] == [2, 0, 3]
