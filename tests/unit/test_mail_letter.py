"""A mail on the wire is ASCII in short lines, and says what it was given, whatever that was."""

from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workers.reactions.mail.letter import letter, mailbox, words

_SHOP = Address("The Shop", "orders", "shop.example")
_LINE_MAX_CHARS = 998  # RFC 5322

printable = st.text(st.characters(exclude_categories=["C"]), max_size=100)


def written(to: Address = _SHOP, title: str = "Hello", plain: str = "", html: str = "") -> bytes:
    return letter(_SHOP, to, {"To": mailbox(to), "Subject": words(title)}, plain, html).content


def read(content: bytes) -> EmailMessage:
    found = BytesParser(policy=policy.default).parsebytes(content)
    assert isinstance(found, EmailMessage)
    assert not found.defects
    return found


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body([kind])
    assert isinstance(part, EmailMessage)
    said = part.get_content()
    assert isinstance(said, str)
    return said


@given(st.text(), st.text())
@example("Tea\n.\n", ".\r\nQUIT\r\n")
@example("a" * 2_000, "--=_tidegate--")
@example("\rbare\r", "tail ")
def test_bodies_are_read_as_they_were_written_except_for_their_line_ends(plain: str, html: str) -> None:
    content = written(plain=plain, html=html)
    lines = content.split(b"\r\n")
    assert lines.pop() == b""
    assert all(len(line) <= _LINE_MAX_CHARS and b"\r" not in line and b"\n" not in line for line in lines)
    assert content.isascii()
    mail = read(content)
    for kind, said in (("plain", plain), ("html", html)):
        assert body(mail, kind).encode().splitlines() == said.encode().splitlines()


@given(printable)
@example("=?utf-8?q?Ann?=")
@example('Ann" <eve@example.com>, "')
@example("茶" * 100)
@example("word " * 20)
def test_a_name_and_a_title_are_read_as_they_were_written(said: str) -> None:
    said = " ".join(said.split())
    content = written(Address(said, "ann", "example.com"), said)
    mail = read(content)
    assert [each.addr_spec for each in mail["To"].addresses] == ["ann@example.com"]
    assert mail["Subject"] == said
    # The library's parser of addresses takes the space between two encoded words for one of the name's.
    raw = message_from_bytes(content)["To"].replace("\r\n", "")
    name, _, _ = raw.rpartition("<")
    assert unquote(str(make_header(decode_header(name.strip())))) == said


@pytest.mark.parametrize("said", ["Hello\r\nBcc: eve@example.com", "Hello\nBcc:", "\x00"])
def test_nothing_with_control_characters_becomes_a_header(said: str) -> None:
    with pytest.raises(ValueError, match="the header Subject would not be printable ASCII"):
        written(title=said)


def test_a_long_header_is_folded_between_words() -> None:
    head, _ = written(title=" ".join(["word"] * 100)).split(b"\r\n\r\n", 1)
    assert max(map(len, head.split(b"\r\n"))) <= 76
