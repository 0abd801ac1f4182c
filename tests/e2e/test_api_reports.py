"""Reports over the API: requested by staff, made in the background, read once they are done, deleted when they
expire."""

import csv
import io
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from tests.e2e.api import API, WAIT_SECONDS, Answer, Client
from tests.e2e.faults import background_stopped
from tests.e2e.shop import Shop
from tests.system import eventually_seen

_numbers = itertools.count(1)
SUMS: Final = ["currency", "orders", "pieces", "revenue_minor"]


def a_clerk(shop: Shop) -> Client:
    """A new member of staff."""
    return shop.client("staff", f"clerk-{next(_numbers)}")


def body(by: str = "day", **more: Any) -> dict[str, Any]:
    """A report that covers today, in any time zone."""
    today = datetime.now(UTC).date()
    days = {"from": str(today - timedelta(days=1)), "to": str(today + timedelta(days=2))}
    return {"kind": "sales", "by": by, **days, **more}


async def done(client: Client, asked: Answer) -> dict[str, Any]:
    """Waits until the report is finished; returns it."""
    report: dict[str, Any] = asked.ok(201)

    async def finished() -> dict[str, Any]:
        report.update((await client.get(f"/reports/{report['id']}")).ok())
        return report if report["status"] in ("succeeded", "failed") else {}

    return await eventually_seen("a finished report", finished, within_seconds=WAIT_SECONDS)


async def result(client: Client, report: dict[str, Any]) -> Answer:
    return await client.request("GET", report["result_url"])


async def test_what_was_sold_is_in_the_report(shop: Shop) -> None:
    sku, other = await shop.product(100, price_minor=250), await shop.product(100, price_minor=1, currency="EUR")
    for quantity in (2, 3):
        order = await shop.customer().placed({sku: quantity})
        (await shop.staff.post(f"/orders/{order['id']}/confirm")).ok()
    await shop.customer().placed({sku: 50})  # placed but not confirmed
    order = await shop.customer().placed({other: 7})
    (await shop.staff.post(f"/orders/{order['id']}/confirm")).ok()
    clerk = a_clerk(shop)
    asked = await clerk.post("/reports", body("sku"))
    assert asked.headers["Location"] == f"{API}/reports/{asked.json()['id']}"
    report = await done(clerk, asked)
    assert (report["status"], report["progress"], report["failure"]) == ("succeeded", 1, None)
    assert report["report"] == {
        **body("sku"),
        "format": "csv",
        "statuses": ["confirmed", "fulfilled"],
        "time_zone": "UTC",
    }
    kept = datetime.fromisoformat(report["expires_at"]) - datetime.fromisoformat(report["finished_at"])
    assert kept == timedelta(days=1)
    answer = await result(clerk, report)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    first, end = body()["from"], body()["to"]
    assert answer.headers["Content-Disposition"] == f'attachment; filename="sales-by-sku-{first}-{end}.csv"'
    assert len(answer.body) == report["size_bytes"]
    rows = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
    assert list(rows[0]) == ["sku", "name", *SUMS]
    assert len(rows) == report["rows"]
    assert [[row[sum_] for sum_ in SUMS] for row in rows if row["sku"] == sku] == [["GBP", "2", "5", "1250"]]
    assert [[row[sum_] for sum_ in SUMS] for row in rows if row["sku"] == other] == [["EUR", "1", "7", "7"]]


@pytest.mark.parametrize(("by", "key"), [("day", "day"), ("category", "category_id"), ("customer", "customer_id")])
async def test_a_json_result_is_one_document(shop: Shop, by: str, key: str) -> None:
    sku, customer = await shop.product(10), shop.customer()
    await customer.placed({sku: 1})
    clerk = a_clerk(shop)
    asked = await clerk.post("/reports", body(by, format="json", statuses=["placed", "placed"]))
    answer = await result(clerk, await done(clerk, asked))
    assert answer.headers["Content-Type"] == "application/json"
    document = answer.json()
    assert document["statuses"] == ["placed"]
    assert all(set(row) >= {key, *SUMS} for row in document["rows"])
    if by == "customer":
        (row,) = (row for row in document["rows"] if row[key] == customer.principal)
        assert (row["orders"], row["pieces"], row["revenue_minor"]) == (1, 1, 250)


async def test_the_answer_names_the_time_zone_of_its_days(shop: Shop) -> None:
    clerk = a_clerk(shop)
    report = await done(clerk, await clerk.post("/reports", body(format="json", time_zone="Pacific/Auckland")))
    assert report["report"]["time_zone"] == "Pacific/Auckland"
    assert (await result(clerk, report)).json()["time_zone"] == "Pacific/Auckland"
    for name in ("Auckland", "pacific/auckland", "", "../../etc/passwd", "x" * 65):
        problem = (await clerk.post("/reports", body(time_zone=name))).problem(422, "invalid_request")
        assert problem["errors"][0]["pointer"] == "/time_zone"


async def test_a_result_may_start_with_a_byte_order_mark(shop: Shop) -> None:
    clerk = a_clerk(shop)
    report = await done(clerk, await clerk.post("/reports", body()))
    plain = await result(clerk, report)
    marked = await clerk.request("GET", report["result_url"], params={"bom": "true"})
    assert marked.body == b"\xef\xbb\xbf" + plain.body


async def test_a_repeated_request_makes_one_report(shop: Shop) -> None:
    clerk = a_clerk(shop)
    first = await clerk.post("/reports", body(), key="the-same")
    again = await clerk.post("/reports", body(), key="the-same")
    assert again.ok(201)["id"] == first.ok(201)["id"]
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_without_waiting_it_is_accepted(shop: Shop) -> None:
    accepted = (await a_clerk(shop).post("/reports", body(), wait=0)).ok(202)
    command = await shop.staff.settled(accepted["command_id"])
    assert command["status"] == "applied"


async def test_own_reports_are_listed_newest_first(shop: Shop) -> None:
    clerk, other = a_clerk(shop), a_clerk(shop)
    ids = [(await clerk.post("/reports", body())).ok(201)["id"] for _ in range(3)]
    await other.post("/reports", body())
    pages = await clerk.pages("/reports", 2)
    assert [[report["id"] for report in page] for page in pages] == [[ids[2], ids[1]], [ids[0]]]


async def test_only_admins_find_other_peoples_reports(shop: Shop) -> None:
    clerk = a_clerk(shop)
    report = await done(clerk, await clerk.post("/reports", body()))
    for path in (f"/reports/{report['id']}", f"/reports/{report['id']}/result"):
        (await a_clerk(shop).get(path)).problem(404, "not_found")
        assert (await shop.client("admin", "the-admin").get(path)).status == 200
        (await shop.customer().get(path)).problem(403, "forbidden")
        (await shop.anybody.get(path)).problem(401, "unauthenticated")
    (await shop.customer().post("/reports", body())).problem(403, "forbidden")
    (await clerk.get("/reports/00000000-0000-7000-8000-000000000000")).problem(404, "not_found")


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"by": "weather"}, "/by"),
        ({"kind": "losses"}, "/kind"),
        ({"from": "2011-02-30"}, "/from"),
        ({"from": "2011-01-01T10:00:00Z"}, "/from"),
        ({"from": 20110101}, "/from"),
        ({"to": None}, "/to"),
        ({"format": "xlsx"}, "/format"),
        ({"statuses": []}, "/statuses"),
        ({"statuses": ["sold"]}, "/statuses/0"),
        ({"statuses": "placed"}, "/statuses"),
        ({"limit": 5}, "/limit"),
        ({"from": "2011-01-02", "to": "2011-01-02"}, "/"),
        ({"from": "2011-01-03", "to": "2011-01-02"}, "/"),
        ({"from": "0001-01-01", "to": "9999-12-31"}, "/"),
    ],
)
async def test_invalid_reports_are_refused(shop: Shop, wrong: dict[str, Any], pointer: str) -> None:
    answer = await a_clerk(shop).post("/reports", body() | wrong)
    assert answer.pointers() == {pointer}


async def test_the_first_and_last_days_of_time_are_valid(shop: Shop) -> None:
    clerk = a_clerk(shop)
    for days in ({"from": "0001-01-01", "to": "0001-01-02"}, {"from": "9999-12-30", "to": "9999-12-31"}):
        report = await done(clerk, await clerk.post("/reports", body() | days))
        assert (report["status"], report["rows"]) == ("succeeded", 0)


async def test_there_is_no_result_until_it_is_done(shop: Shop) -> None:
    clerk = a_clerk(shop)
    async with background_stopped(shop.system):
        asked = await clerk.post("/reports", body())
        report = asked.ok(201)
        assert (report["status"], report["progress"], report["result_url"]) == ("queued", 0, None)
        problem = (await clerk.get(f"/reports/{report['id']}/result")).problem(409, "report_not_ready")
        assert problem["status_url"] == asked.headers["Location"]
    assert (await done(clerk, asked))["status"] == "succeeded"


async def test_the_number_of_reports_at_a_time_is_limited(shop: Shop) -> None:
    clerk = a_clerk(shop)
    most = 20
    async with background_stopped(shop.system):
        for _ in range(most):
            (await clerk.post("/reports", body())).ok(201)
        refused = await clerk.post("/reports", body())
        refused.problem(429, "too_many_jobs")
        assert int(refused.headers["Retry-After"]) >= 1
        assert (await a_clerk(shop).post("/reports", body())).status == 201, "others are not held up"

    async def all_done() -> bool:
        pages = await clerk.pages("/reports", 20)
        return all(report["status"] == "succeeded" for page in pages for report in page)

    await eventually_seen("all reports", all_done, within_seconds=30)


async def test_a_result_expires(shop: Shop) -> None:
    clerk = a_clerk(shop)
    report = await done(clerk, await clerk.post("/reports", body()))
    move = "UPDATE jobs SET updated_at = updated_at + $2 * interval '1 day' WHERE id = $1"
    await shop.database.execute(move, report["id"], -2)
    try:
        seen = (await clerk.get(f"/reports/{report['id']}")).ok()
        assert (seen["status"], seen["result_url"]) == ("succeeded", None)
        (await clerk.get(f"/reports/{report['id']}/result")).problem(410, "result_expired")
    finally:
        await shop.database.execute(move, report["id"], 2)


async def test_a_failed_report_says_why(shop: Shop) -> None:
    clerk = a_clerk(shop)
    async with background_stopped(shop.system):
        asked = await clerk.post("/reports", body())
        # It has failed again and again.
        await shop.database.execute("UPDATE tasks SET attempts = 5 WHERE subject = $1", asked.ok(201)["id"])
    report = await done(clerk, asked)
    assert (report["status"], report["failure"]["code"]) == ("failed", "job_gave_up")
    assert (report["result_url"], report["expires_at"]) == (None, None)
    problem = (await clerk.get(f"/reports/{report['id']}/result")).problem(409, "report_failed")
    assert problem["reason"] == "job_gave_up"
