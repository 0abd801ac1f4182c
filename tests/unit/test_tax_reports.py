"""What is requested at once, of many orders, and what after it."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.order_taxes import COMMIT, ReportTaxes
from workers.reactions.tax_reports import _turns


@given(st.lists(st.integers(0, 4), max_size=30))
def test_reports_of_one_order_keep_their_order_and_none_is_lost(orders: list[int]) -> None:
    due = [(str(place), ReportTaxes(UUID(int=order), COMMIT)) for place, order in enumerate(orders)]
    turns = list(_turns(due))
    assert sorted(key for turn in turns for key, _ in turn) == sorted(key for key, _ in due)
    for turn in turns:
        assert len({report.order_id for _, report in turn}) == len(turn)
    for order in set(orders):
        keys = [int(key) for turn in turns for key, report in turn if report.order_id == UUID(int=order)]
        assert keys == sorted(keys)
