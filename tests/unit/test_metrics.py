"""Metrics: every label is a closed set that its code stays within, and scrapes are made off the loop, one at a time."""

import ast
import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import workers.app
import workers.background
from gateway.app import create_app
from gateway.server import scraping
from runtime import metrics
from runtime.engine import create_engine
from runtime.metrics import OTHER, Closed, ClosedCounter
from runtime.redis_client import connect
from runtime.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def every_owner_has_named_its_values() -> None:
    create_app(Settings())
    assert workers.app
    assert workers.background


def labelled() -> dict[str, Closed]:
    """Our metrics with labels, by their names in the code."""
    found: dict[str, Closed] = {}
    for name, metric in vars(metrics).items():
        if isinstance(metric, MetricWrapperBase) and metric._labelnames:
            assert isinstance(metric, Closed), f"{name} takes any label"
            found[name] = metric
    return found


def test_every_label_of_every_metric_has_a_closed_set_of_values() -> None:
    assert len(labelled()) >= 11
    for name, metric in labelled().items():
        for label in metric._labelnames:
            assert 2 <= len(metric.allowed(label)) <= 250, (name, label)


def test_a_value_outside_the_set_counts_as_other() -> None:
    before = REGISTRY.get_sample_value("tidegate_problems_total", {"code": OTHER}) or 0
    metrics.PROBLEMS.labels("made_up_1").inc()
    metrics.PROBLEMS.labels(code="made_up_2").inc()
    assert REGISTRY.get_sample_value("tidegate_problems_total", {"code": OTHER}) == before + 2
    assert REGISTRY.get_sample_value("tidegate_problems_total", {"code": "made_up_1"}) is None


def literals() -> Iterator[tuple[str, int, str]]:
    """(metric, index of the label, value) of every literal value in the code."""
    for part in ("gateway", "ops", "runtime", "workers"):
        for path in (ROOT / part).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr == "labels"
                    and isinstance(node.func.value, ast.Name)
                ):
                    for place, argument in enumerate(node.args):
                        for each in ast.walk(argument):
                            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                                yield node.func.value.id, place, each.value


def test_literal_values_in_the_code_are_allowed() -> None:
    found = set(literals())
    assert ("BATCH_RETRIES", 0, "bisected") in found
    for name, place, value in found:
        metric = labelled()[name]
        assert value in metric.allowed(metric._labelnames[place]), (name, value)


class Watching(Collector):
    """Records in which threads it is collected."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def collect(self) -> Iterator[Metric]:
        self.threads.append(threading.current_thread())
        yield GaugeMetricFamily("watching", "Whether it was collected.", 1)


async def test_concurrent_scrapes_share_one_rendering_off_the_loop() -> None:
    """Neither Redis nor Postgres is available; the processes' own metrics are shown all the same."""
    config = Settings(
        TIDEGATE_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none", TIDEGATE_REDIS_URL="redis://127.0.0.1:1/0"
    )
    engine, redis, watching = create_engine(config.database_url, pool_size=1), connect(config.redis_url), Watching()
    scraper = scraping.scraper(engine, redis, config)
    REGISTRY.register(watching)
    watching.threads.clear()  # registering asks for its names
    try:
        pages = await asyncio.gather(*(scraper.page("text/plain") for _ in range(5)))
        assert {page.body for page in pages} == {pages[0].body}
        assert b"tidegate_redis_up 0.0" in pages[0].body
        assert len(watching.threads) == 1
        assert watching.threads[0] is not threading.main_thread()
        openmetrics = await scraper.page("application/openmetrics-text")
        assert openmetrics.body.endswith(b"# EOF\n")
    finally:
        REGISTRY.unregister(watching)
        await redis.aclose()
        await engine.dispose()


async def test_a_scrape_is_as_fresh_as_the_settings_require() -> None:
    config = Settings(
        TIDEGATE_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
        TIDEGATE_REDIS_URL="redis://127.0.0.1:1/0",
        metrics_fresh_seconds=0,
    )
    engine, redis = create_engine(config.database_url, pool_size=1), connect(config.redis_url)
    scraper = scraping.scraper(engine, redis, config)
    try:
        before = await scraper.page("")
        metrics.SWEEPS.inc()
        assert (await scraper.page("")).body != before.body
    finally:
        await redis.aclose()
        await engine.dispose()


def test_only_metrics_with_allowed_values_are_remembered() -> None:
    codes = ClosedCounter("tidegate_test_remembered", "A test's.", ["code"], registry=None).allow(code=["known"])
    assert codes.labels("known") is codes.labels("known")
    assert codes.labels("made_up") is codes.labels(OTHER)
    for number in range(1_000):
        codes.labels(f"made_up_{number}")
    assert codes._found is not None
    assert codes._found.keys() <= {("known",), (OTHER,)}
    codes.allow(code=["made_up"])
    assert codes.labels("made_up") is not codes.labels(OTHER)
