"""Scrapes as tests read them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.e2e.api import Answer
from tests.e2e.shop import Shop

Sample = tuple[str, frozenset[tuple[str, str]]]


async def scrape(shop: Shop, accept: str = "text/plain") -> Answer:
    answer = await shop.anybody.request("GET", "/metrics", headers={"Accept": accept})
    assert answer.status == 200
    return answer


class Reading:
    """One scrape, by sample name and labels; missing samples are 0."""

    def __init__(self, text: str, parse: Callable[[str], Iterable[Metric]] = parse_text) -> None:
        samples = [sample for family in parse(text) for sample in family.samples]
        self._values: Mapping[Sample, float] = defaultdict(
            float, {(s.name, frozenset(s.labels.items())): s.value for s in samples}
        )
        self.exemplars = {(s.name, *s.exemplar.labels.items()) for s in samples if s.exemplar}
        """Of each the sample's name, and the ids."""

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of all samples with this name and these labels."""
        wanted = set(labels.items())
        return sum(value for (found, has), value in self._values.items() if found == name and wanted <= has)


async def read(shop: Shop) -> Reading:
    return Reading((await scrape(shop)).body.decode())
