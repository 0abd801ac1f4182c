"""The log that an event was written in, and whether what a reader has seen is part of this one."""

from uuid import UUID

import pytest

from runtime.branches import Branch, Branches

FIRST, SECOND, THIRD, STRANGER = (UUID(int=number) for number in range(4))
BRANCHES = Branches((Branch(FIRST, 0), Branch(SECOND, 900), Branch(THIRD, 950)))


@pytest.mark.parametrize(
    ("seq", "identity"), [(1, FIRST), (900, FIRST), (901, SECOND), (950, SECOND), (951, THIRD), (10_000, THIRD)]
)
def test_the_source_of_an_event_is_the_branch_it_was_written_in(seq: int, identity: UUID) -> None:
    assert BRANCHES.source(seq) == f"urn:uuid:{identity}"


@pytest.mark.parametrize(
    ("identity", "seq", "holds"),
    [
        (FIRST, 0, True),
        (FIRST, 900, True),
        (FIRST, 901, False),
        (SECOND, 900, True),
        (SECOND, 950, True),
        (SECOND, 951, False),
        (THIRD, 951, True),
        (THIRD, 10_000, True),
        (STRANGER, 0, False),
    ],
)
def test_what_was_seen_is_part_of_the_log_up_to_where_it_was_restored(identity: UUID, seq: int, holds: bool) -> None:
    assert BRANCHES.hold(identity, seq) is holds


def test_a_branch_that_begins_at_the_same_seq_hides_the_previous_one() -> None:
    branches = Branches((Branch(FIRST, 0), Branch(SECOND, 0)))
    assert branches.identity == SECOND
    assert branches.source(1) == f"urn:uuid:{SECOND}"
    assert not branches.hold(FIRST, 1)
