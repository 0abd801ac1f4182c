"""Encodings that spreadsheets and shops write: detected, named by their labels, and converted to UTF-8."""

from collections.abc import AsyncIterator

import pytest

from runtime.listings.encodings import UTF_8, Evidence, as_utf8, detected, encoding_of_label, head_as_utf8, resolved

WRITTEN = {
    "windows-1250": (
        "hrneček,Měděný hrneček",
        "nazwa,Łyżka stołowa,Żółty dzbanek",
        "név,Nagyon szép bögre őszi mintával",
    ),
    "windows-1252": (
        "nom,Théière émaillée à fleurs",
        "name,Grüner Becher für Tee,Straße",
        "nome,Caffè macchiato, perché no",
        "namn,Blå kopp för ägg",
        "slug,name\nmug,Café mug",
    ),
    "windows-1251": ("имя,Медный кувшин,Зелёная чашка", "назва,Їжачок та ґудзик"),
    "macintosh": ("nom,Théière émaillée à fleurs", "name,Grüner Becher für Tee,Straße", "slug,name\nmug,Café mug"),
    "utf-16le": ("slug,name\r\nmug,Měděný hrneček", "\ufeffимя,Медный кувшин"),
    "utf-16be": ("slug,name\r\nmug,Měděný hrneček", "\ufeffимя,Медный кувшин"),
    "utf-8": ("plain", "Měděný", "\ufeffимя", ""),
}
ALL = [(encoding, text) for encoding, texts in WRITTEN.items() for text in texts]


async def pieces(data: bytes, size: int = 3) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize(("encoding", "text"), ALL)
def test_the_encodings_that_programs_write_are_detected(encoding: str, text: str) -> None:
    assert detected(text.encode(encoding)) == encoding


@pytest.mark.parametrize(("encoding", "text"), ALL)
async def test_every_encoding_becomes_utf8_however_it_is_split(encoding: str, text: str) -> None:
    data = text.encode(encoding)
    assert b"".join([piece async for piece in as_utf8(pieces(data), encoding)]) == text.encode()
    assert head_as_utf8(data, encoding) == text.encode()


def test_the_first_non_ascii_letter_may_come_late() -> None:
    evidence = Evidence()
    for _ in range(100):
        evidence.add(b"lamp,A lamp\n" * 1_000)
    assert not evidence.enough
    evidence.add("mug,Měděný hrneček, příšerně".encode("windows-1250"))
    assert evidence.encoding() == "windows-1250"


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_character_split_between_pieces_is_not_broken(size: int) -> None:
    data = "slug,name\nmug,Měděný hrneček\n".encode()
    evidence = Evidence()
    for start in range(0, len(data), size):
        evidence.add(data[start : start + size])
    assert evidence.encoding() == UTF_8


def test_a_bad_byte_in_utf8_does_not_change_the_encoding_of_the_file() -> None:
    assert detected("mug,Měděný hrneček\n".encode() + b"\xff,x\n") == UTF_8


async def test_bytes_that_are_invalid_in_their_encoding_become_invalid_utf8() -> None:
    for encoding, data in (("windows-1252", b"a\x81"), ("utf-16le", b"a\0\0\xd8"), ("utf-16le", b"a\0b")):
        out = b"".join([piece async for piece in as_utf8(pieces(data), encoding)])
        assert out.startswith(b"a")
        with pytest.raises(UnicodeDecodeError):
            out.decode()


@pytest.mark.parametrize(
    ("label", "encoding"),
    [("UTF-8", "utf-8"), ('"windows-1250"', "windows-1250"), ("iso-8859-1", "windows-1252"), ("koi8-r", None)],
)
def test_labels(label: str, encoding: str | None) -> None:
    assert encoding_of_label(label) == encoding


def test_utf16_takes_its_byte_order_from_its_mark() -> None:
    assert resolved("utf-16", b"\xfe\xff\0a") == "utf-16be"
    assert resolved("utf-16", b"\xff\xfea\0") == resolved("utf-16", b"a\0") == "utf-16le"
