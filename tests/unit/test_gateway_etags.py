"""Entity tags: If-Match and If-None-Match."""

import pytest
from fastapi import Request

from gateway.web.etags import body_tag, conditional, expected_version, is_known, version_tag


def request(**headers: str | list[str]) -> Request:
    raw = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, values in headers.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    return Request({"type": "http", "headers": raw})


@pytest.mark.parametrize(
    ("if_match", "version"),
    [
        ([], None),
        ([""], None),
        (["*"], None),
        (['"3"'], 3),
        ([' "3" '], 3),
        (['"3", "12"'], 12),
        (['"3"', '"12"'], 12),
        (['"3", W/"12", "abc"'], 3),
        (['W/"3"'], 0),
        (['"abc"'], 0),
        (['""'], 0),
        (["3"], 0),
        (['"-3"'], 0),
        (['"\u00b2"'], 0),
        (['"1234567890"'], 0),
        (["nonsense"], 0),
    ],
)
def test_the_version_that_if_match_requires(if_match: list[str], version: int | None) -> None:
    assert expected_version(request(if_match=if_match)) == version


def test_a_version_round_trips() -> None:
    assert expected_version(request(if_match=version_tag(7))) == 7


@pytest.mark.parametrize(
    ("if_none_match", "known"),
    [('"7"', True), ('W/"7"', True), ('"6", "7"', True), ("*", True), ('"6"', False), ("7", False), ("", False)],
)
def test_if_none_match(if_none_match: str, known: bool) -> None:
    assert is_known(if_none_match, '"7"') == known
    assert is_known(if_none_match, 'W/"7"') == known


def test_the_tag_of_a_body_is_weak_and_its_own() -> None:
    assert body_tag(b"a").startswith('W/"')
    assert body_tag(b"a") == body_tag(b"a") != body_tag(b"b")


def test_a_response_that_the_client_has_is_not_sent_again() -> None:
    sent = conditional(request(), b"{}", '"7"')
    assert (sent.status_code, sent.body, sent.headers["etag"], sent.headers["cache-control"]) == (
        200,
        b"{}",
        '"7"',
        "no-cache",
    )
    spared = conditional(request(if_none_match='"7"'), b"{}", '"7"', private=True)
    assert (spared.status_code, spared.body, spared.headers["etag"]) == (304, b"", '"7"')
    assert spared.headers["cache-control"] == "no-store"
    assert "content-length" not in spared.headers
