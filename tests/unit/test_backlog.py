"""Predictions from looks at a mailbox."""

from gateway.writing.backlog import Seen, Wait, busy_looks, expected


def test_an_empty_mailbox_means_no_wait() -> None:
    assert expected(Seen(9.0, 1.0, 500, 500), Seen(10.0, None, 0, 500)).seconds == 0.0


def test_the_first_look_knows_only_how_long_the_oldest_has_waited() -> None:
    assert expected(None, Seen(10.0, 4.0, 1_000, 1_000)) == Wait(6.0, 1_000, 0.0)


def test_a_mailbox_that_is_never_idle_shows_how_fast_it_is_drained() -> None:
    # 3,400 arrived and 400 remain: 3,000 left in 10 s, so 3,000 take 10 s.
    wait = expected(Seen(2.0, 1.0, 2_600, 5_000), Seen(12.0, 9.5, 3_000, 8_400))
    assert wait == Wait(10.0, 3_000, 300.0)


def test_workers_that_stopped_for_a_moment_are_not_taken_for_slow() -> None:
    # They were killed and are running again: one command left meanwhile.
    assert expected(Seen(10.0, 9.5, 2, 2), Seen(11.0, 9.5, 40, 41)) == Wait(1.5, 40, 1.0)


def test_a_mailbox_that_may_have_been_idle_is_not_taken_for_slow() -> None:
    # Two left in the last second because no more arrived; then 1,000 arrived at once.
    now = Seen(11.0, 10.75, 1_000, 1_011)
    assert busy_looks([Seen(10.0, 9.75, 1, 10)], now) == [now]
    assert expected(None, now) == Wait(0.25, 1_000, 0.0)


def test_a_limited_number_of_looks_is_kept_while_the_mailbox_is_busy() -> None:
    looks: list[Seen] = []
    for second in range(100):
        looks = busy_looks(looks, Seen(float(second), second - 3.0, 5, 5 + second))
    assert [look.at for look in looks] == [float(second) for second in range(89, 100)]
    assert busy_looks(looks, Seen(100.0, None, 0, 200)) == []


def test_a_clock_that_was_set_back_makes_no_wait_negative() -> None:
    assert expected(Seen(10.0, 9.0, 5, 5), Seen(8.0, 9.0, 5, 5)).seconds == 0.0


def test_stopped_workers_drain_nothing() -> None:
    assert expected(Seen(10.0, 5.0, 50, 50), Seen(11.0, 5.0, 60, 60)) == Wait(6.0, 60, 0.0)
