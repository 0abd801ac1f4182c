"""The look for leaks finds them: it stands at the end of every test with a system of its own."""

from pathlib import Path

import pytest

from runtime.passwords import hash_password
from runtime.standard_webhooks import new_secret
from tests.leaks import leaks


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("the token eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2ln is not valid", "a token"),
        (f"the key tgk_{'0' * 32}_{'x' * 43} was used", "an API key"),
        (f"signed with {new_secret()}", "a webhook's secret"),
        (hash_password("something"), "a hash of a password"),
        ("Key (email)=(somebody@example.com) already exists.", "an address"),
        ("tried 'the password of 7'", "a password"),
    ],
    ids=["token", "key", "secret", "hash", "address", "password"],  # some lines are made anew by each test process
)
def test_secrets_and_personal_data_in_a_log_are_found(line: str, kind: str, tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    log.write_text(f"starting\n{line}\nstopping\n")
    assert leaks(log) == [f"{kind} in gateway.log: {line}"]


def test_harmless_lines_are_not_reported(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    said = ["postgresql://postgres@127.0.0.1:5432/postgres is away", "webhook 01a203dc is disabled"]
    log.write_text("\n".join([*said, "refused: orders@tidegate.example"]))
    assert leaks(log) == []
    assert leaks(tmp_path / "missing.log") == []
