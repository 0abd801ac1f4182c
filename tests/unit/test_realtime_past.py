"""The past ten minutes: a chart begins with what it would have shown."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.realtime.statistics.past import PAST_SECONDS, STEP_SECONDS, History
from gateway.realtime.statistics.window import WINDOW_SECONDS, Window
from gateway.views.sales import Sales

NOW = 1_800_000_000
SINCE = NOW - PAST_SECONDS - WINDOW_SECONDS


@given(st.lists(st.tuples(st.integers(1, (NOW - SINCE) // STEP_SECONDS), st.integers(1, 9)), max_size=40))
def test_each_moment_shows_the_minute_before_it(sold: list[tuple[int, int]]) -> None:
    sales = [Sales(NOW - STEP_SECONDS * steps, "GBP", orders, 100 * orders) for steps, orders in sold]
    past = History(sales, SINCE, NOW).told()
    assert past.at == list(range(NOW - PAST_SECONDS, NOW + 1, STEP_SECONDS))
    expected = [sum(s.orders for s in sales if at - WINDOW_SECONDS <= s.at < at) for at in past.at]
    assert past.orders_per_minute == expected
    assert past.revenue_minor_per_minute.get("GBP", [0] * len(past.at)) == [100 * orders for orders in expected]


def test_it_continues_with_new_figures_and_forgets_old_ones() -> None:
    history = History([Sales(SINCE, "EUR", 7, 700)], SINCE, NOW)
    minute = Window().summary(NOW)
    for at in range(NOW + 1, NOW + 2 * PAST_SECONDS):
        history.take(at, minute)
    past = history.told()
    assert len(past.at) == PAST_SECONDS // STEP_SECONDS + 1
    assert past.at[-1] - past.at[0] == PAST_SECONDS
    assert set(past.orders_per_minute) == {0}


def test_unknown_figures_are_left_out() -> None:
    past = History([], NOW - 2 * WINDOW_SECONDS, NOW).told()
    assert past.at[0] == NOW - WINDOW_SECONDS
    assert not History([], NOW, NOW).told().at
