"""The dashboard for Grafana: it names what there is, and shows every metric."""

import json
from typing import Any, Final

from runtime.metrics.page import names
from tests.prometheus import DASHBOARD, complaints, dashboard_queries

DOCUMENT: Final[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
ROWS: Final = [
    "Overview",
    "Accept",
    "Batches",
    "Mailboxes",
    "Feed",
    "Reactions and tasks",
    "Processes",
    "Business",
    "Money",
]
COLUMNS: Final = 24


def test_queries_name_metrics_that_exist() -> None:
    found = {query: complaints(query) for query in dashboard_queries()}
    assert {query: said for query, said in found.items() if said} == {}
    assert not any("$" in query for query in found), "a variable without a value"


def test_every_metric_is_shown() -> None:
    shown = "\n".join(dashboard_queries())
    assert sorted(name for name in names() if name not in shown) == []


def test_rows_and_variables_are_those_that_people_look_for() -> None:
    assert [panel["title"] for panel in DOCUMENT["panels"] if panel["type"] == "row"] == ROWS
    assert [variable["name"] for variable in DOCUMENT["templating"]["list"]] == [
        "datasource",
        "job",
        "instance",
        "quantile",
    ]


def test_panels_have_a_place_and_an_id_of_their_own() -> None:
    panels = DOCUMENT["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in panels):
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= COLUMNS
        taken |= cells
    for panel in panels:
        queries = [(target["refId"], target["datasource"]["uid"]) for target in panel.get("targets", ())]
        assert bool(queries) != (panel["type"] == "row")
        assert len(set(queries)) == len(queries)
        assert all(uid == "${datasource}" for _, uid in queries)
