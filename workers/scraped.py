"""The port for metrics of worker and background processes, for machines without a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.settings import Settings

if TYPE_CHECKING:
    from runtime.scraping import MetricsPort


def metrics_port(config: Settings) -> MetricsPort | None:
    """The port, if the settings name one; it is served from now on."""
    if config.worker_metrics_port is None:
        return None
    from runtime.scraping import MetricsPort, Scraper, nothing_else  # nothing else in these processes serves HTTP

    scraper = Scraper(nothing_else, fresh_seconds=config.metrics_fresh_seconds)
    port = MetricsPort(scraper, config.metrics_host, config.worker_metrics_port)
    port.start()
    return port
