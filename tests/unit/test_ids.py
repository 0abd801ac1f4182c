"""Identifiers: UUIDv7 with a slot, and the mailboxes' shares of the ring of slots."""

from collections import Counter
from pickle import dumps, loads
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import SLOT_COUNT, mailbox_of_slot, new_id, slot_of_id, slot_of_key, text_of

moments = st.integers(0, 2**48 - 1)
slots = st.integers(0, SLOT_COUNT - 1)
randoms = st.integers(0, 2**80)
mailbox_counts = st.integers(1, SLOT_COUNT)


@given(moments, slots, randoms)
def test_an_id_is_a_uuid_of_version_7_and_carries_its_time_and_slot(now_ms: int, slot: int, random: int) -> None:
    identifier = new_id(now_ms, slot, random)
    assert (identifier.version, identifier.variant) == (7, RFC_4122)
    assert identifier.int >> 80 == now_ms
    assert slot_of_id(identifier) == slot
    assert identifier.int & (2**62 - 1) == random & (2**62 - 1)


@given(moments, slots, randoms)
def test_an_id_is_one_like_those_that_its_class_makes(now_ms: int, slot: int, random: int) -> None:
    identifier = new_id(now_ms, slot, random)
    made = UUID(int=identifier.int)
    assert (identifier, hash(identifier), identifier.is_safe) == (made, hash(made), made.is_safe)
    assert loads(dumps(identifier)) == made
    assert text_of(identifier) == str(made)


@given(moments, slots, randoms)
def test_an_id_finds_its_slot_from_its_text(now_ms: int, slot: int, random: int) -> None:
    assert slot_of_id(UUID(str(new_id(now_ms, slot, random)))) == slot


@given(moments, moments, slots, slots, randoms, randoms)
def test_ids_sort_by_time(a_ms: int, b_ms: int, a_slot: int, b_slot: int, a: int, b: int) -> None:
    if a_ms < b_ms:
        assert new_id(a_ms, a_slot, a) < new_id(b_ms, b_slot, b)


@given(st.text())
def test_every_key_has_one_slot(key: str) -> None:
    assert 0 <= slot_of_key(key) < SLOT_COUNT


def test_keys_spread_over_the_ring() -> None:
    eighths = Counter(slot_of_key(f"SKU-{number}") * 8 // SLOT_COUNT for number in range(8_000))
    assert all(800 < eighths[eighth] < 1_200 for eighth in range(8))


@pytest.mark.parametrize("mailbox_count", [1, 2, 3, 16, 17, 100, 1_000, 4_095, SLOT_COUNT])
def test_mailboxes_divide_the_ring_equally_and_without_gaps(mailbox_count: int) -> None:
    owners = [mailbox_of_slot(slot, mailbox_count) for slot in range(SLOT_COUNT)]
    assert owners == sorted(owners)
    shares = Counter(owners)
    assert set(shares) == set(range(mailbox_count))
    assert max(shares.values()) - min(shares.values()) <= 1


@given(slots, mailbox_counts)
def test_every_slot_has_a_mailbox(slot: int, mailbox_count: int) -> None:
    assert 0 <= mailbox_of_slot(slot, mailbox_count) < mailbox_count


@given(slots, mailbox_counts)
def test_with_twice_the_mailboxes_each_is_split_in_two(slot: int, mailbox_count: int) -> None:
    if 2 * mailbox_count <= SLOT_COUNT:
        assert mailbox_of_slot(slot, 2 * mailbox_count) // 2 == mailbox_of_slot(slot, mailbox_count)
