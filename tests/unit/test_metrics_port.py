"""The port for metrics: it serves them and nothing else, to as many as share it, and is free again afterwards."""

import socket

import aiohttp
import pytest

from ops.ports import free_port
from runtime.scraping import MetricsPort, Scraper, nothing_else


def scraper() -> Scraper:
    return Scraper(nothing_else, fresh_seconds=0)


async def test_it_serves_metrics_and_nothing_else() -> None:
    port = free_port()
    one, other = MetricsPort(scraper(), "127.0.0.1", port), MetricsPort(scraper(), "127.0.0.1", port)
    one.start()
    other.start()
    try:
        async with aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{port}"
            for path, accept, status, content_type in (
                ("/metrics", "*/*", 200, "text/plain"),
                ("/metrics", "application/openmetrics-text", 200, "application/openmetrics-text"),
                ("/", "*/*", 404, "text/plain"),
            ):
                async with http.get(url + path, headers={"Accept": accept}) as answer:
                    assert (answer.status, answer.content_type) == (status, content_type)
                    assert (b"tidegate_batch_seconds" in await answer.read()) == (status == 200)
    finally:
        await one.stop()
        await other.stop()
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get(f"http://127.0.0.1:{port}/metrics")


async def test_a_strangers_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger, pytest.raises(OSError, match="in use"):
        MetricsPort(scraper(), "127.0.0.1", stranger.getsockname()[1]).start()
