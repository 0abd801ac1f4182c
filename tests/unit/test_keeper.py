"""What ends unexpectedly is restarted: when, how often, and with which messages. No clock runs: the tests set the
time."""

import pytest

from ops.keeper import Keeper, KeepsEnding
from ops.restarts import ENDS_MAX, ENDS_WITHIN_SECONDS, FIRST_PAUSE_SECONDS, Restarts


class Thing:
    """Ends and comes up when the test says so."""

    start_timeout_seconds = 30.0

    def __init__(self, title: str = "Thing") -> None:
        self.title = title
        self.ended_by_itself: int | None = None
        self.up = True
        self.launched = 0
        self.killed = 0

    def kill(self) -> None:
        self.killed += 1
        self.ended_by_itself = None

    def launch(self) -> None:
        assert self.killed > self.launched, "the remains of the previous one are ended first"
        self.launched += 1
        self.up = False

    def is_up(self) -> bool:
        return self.up

    def last_words(self) -> str:
        return "no space left"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Watch:
    """Things under a keeper, and the time."""

    def __init__(self, *things: Thing) -> None:
        self.clock = Clock()
        self.said: list[str] = []
        self.keeper = Keeper(things, self.said.append, self.clock)

    def look(self, *, after: float = 0.0) -> None:
        self.clock.now += after
        self.keeper.look()


def test_the_first_end_is_followed_by_a_start_at_once_and_each_further_by_a_longer_pause() -> None:
    restarts = Restarts()
    pauses = [restarts.pause(float(second)) for second in range(ENDS_MAX + 1)]
    assert pauses == [0.0, *(FIRST_PAUSE_SECONDS * 2**again for again in range(ENDS_MAX - 1)), None]


def test_ends_are_forgotten_after_a_while() -> None:
    restarts = Restarts()
    for _ in range(ENDS_MAX):
        restarts.pause(100.0)
    assert restarts.pause(100.0 + ENDS_WITHIN_SECONDS) == 0.0


def test_occasional_ends_are_never_given_up() -> None:
    restarts = Restarts()
    apart = ENDS_WITHIN_SECONDS / ENDS_MAX
    pauses = [restarts.pause(apart * number) for number in range(100)]
    assert None not in pauses


def test_running_things_are_left_alone() -> None:
    thing = Thing()
    watch = Watch(thing)
    for _ in range(3):
        watch.look(after=10)
    assert (thing.launched, thing.killed, watch.said) == (0, 0, [])


def test_an_ended_thing_is_launched_and_announced_when_it_is_up() -> None:
    thing = Thing()
    watch = Watch(thing)
    thing.ended_by_itself = -9
    watch.look()
    watch.look()
    assert thing.launched == 1
    watch.look(after=1)
    assert watch.said == []
    thing.up = True
    watch.look(after=0.5)
    assert watch.said == ["Thing exited unexpectedly (SIGKILL); it is back after 1.5 s."]
    watch.look(after=1)
    assert thing.launched == 1


def test_it_waits_out_its_pause() -> None:
    thing = Thing()
    watch = Watch(thing)
    for _ in range(2):
        thing.ended_by_itself = 3
        watch.look()
        watch.look()
    assert thing.launched == 1
    watch.look(after=FIRST_PAUSE_SECONDS * 0.9)
    assert thing.launched == 1
    watch.look(after=FIRST_PAUSE_SECONDS * 0.2)
    assert thing.launched == 2


def test_a_thing_that_keeps_ending_is_given_up_with_a_message() -> None:
    thing = Thing()
    watch = Watch(thing)

    def end_again_and_again() -> None:
        for _ in range(2 * (ENDS_MAX + 1)):
            thing.ended_by_itself = thing.ended_by_itself or 3
            watch.look(after=5)

    with pytest.raises(KeepsEnding, match=r"(?s)Thing cannot be kept running.* 6 times .*exit code 3.*no space left"):
        end_again_and_again()
    assert thing.launched == ENDS_MAX


def test_a_thing_that_does_not_come_up_in_time_counts_as_ended() -> None:
    thing = Thing()
    watch = Watch(thing)
    thing.ended_by_itself = 1
    watch.look()
    watch.look()
    watch.look(after=thing.start_timeout_seconds + 1)
    assert thing.killed == 1
    watch.look(after=FIRST_PAUSE_SECONDS)
    assert (thing.killed, thing.launched) == (2, 2)
    thing.up = True
    watch.look()
    assert watch.said[0].startswith("Thing exited unexpectedly (not up within 30 s)")


def test_one_that_is_down_holds_up_no_other() -> None:
    slow, quick = Thing("Slow"), Thing("Quick")
    watch = Watch(slow, quick)
    slow.ended_by_itself = quick.ended_by_itself = -9
    watch.look()
    watch.look()
    quick.up = True
    watch.look()
    assert watch.said == ["Quick exited unexpectedly (SIGKILL); it is back after 0.0 s."]
