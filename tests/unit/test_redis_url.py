"""The URLs of clusters, and where their commands go."""

from __future__ import annotations

import pytest

from runtime.redis_cluster import key_of
from runtime.redis_url import Address, any_server, ports, read


def test_a_servers_url_is_no_clusters() -> None:
    assert read("redis://:secret@host:6380/3") is None
    assert any_server("redis://host/3") == "redis://host/3"
    assert ports("redis://host/3") == {6379}


def test_a_cluster_has_several_nodes_and_what_all_of_them_share() -> None:
    url = read("rediss+cluster://me:p%40ss@one,two:6380,[::1]:6381,[::2]/0?ssl_ca_certs=ca.pem")
    assert url is not None
    assert url.seeds == [Address("one", 6379), Address("two", 6380), Address("::1", 6381), Address("::2", 6379)]
    assert url.of(Address("three", 1)) == "rediss://me:p%40ss@three:1/0?ssl_ca_certs=ca.pem"
    assert url.of(url.seeds[2]) == "rediss://me:p%40ss@[::1]:6381/0?ssl_ca_certs=ca.pem"
    assert any_server("redis+cluster://:secret@one:1,two:2") == "redis://:secret@one:1/0"
    assert ports("redis+cluster://one:1,two:2") == {1, 2}


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://",
        "redis+cluster://one,,two",
        "redis+cluster://one:port",
        "redis+cluster://one:70000",
        "redis+cluster://one/3",
        "unix+cluster://one",
    ],
)
def test_what_names_no_nodes_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"cluster|node"):
        read(url)


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("GET", "key"), "key"),
        (("EVALSHA", "digest", 2, "key", "other", "argument"), "key"),
        (("EVAL", "script", 0, "argument"), None),
        (("XREAD", b"COUNT", b"1", b"STREAMS", "key", "0-0"), "key"),
        (("XINFO STREAM", "key"), "key"),
        (("MEMORY USAGE", "key", b"SAMPLES", "5"), "key"),
        (("PUBLISH", "channel", "message"), None),
        (("INFO", "memory"), None),
    ],
)
def test_a_command_goes_by_its_key(command: tuple[object, ...], key: str | None) -> None:
    assert key_of(command) == key
