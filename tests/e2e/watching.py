"""A Prometheus of the test's own: Debian's binary, on loopback, with a folder that goes with it. It scrapes one system
every two seconds, and evaluates the shipped rules, whose alerts have to hold for no longer than five."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import aiohttp
import yaml

from ops.ports import free_port
from tests import needs
from tests.prometheus import RULES, read
from tests.system import System, eventually_seen

_WITHIN_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0
_JOB: Final = "tidegate"

SPEED: Final = frozenset(
    {
        "TidegateCommandsLate",
        "TidegateCommandsLateSlowly",
        "TidegateFeedLate",
        "TidegateFeedLateSlowly",
        "TidegateEventCounterSlow",
        "TidegateEventLoopLags",
        "TidegateDatabasePoolExhausted",
        "TidegateRedisDiskSlow",
    }
)
"""Whether they fire is up to how fast this machine is, too."""

SOONER: Final = MappingProxyType(
    {
        "TidegateReactionLate": ("> 60", "> 3"),
        "TidegateWebhooksLate": ("> 3600", "> 3"),
        "TidegateTasksLate": ("> 60", "> 3"),
        "TidegateVerifyLate": ("> 600", "> 5"),
    }
)
"""What has to last for minutes or an hour, and may do so for seconds when a test has no more: promtool tries the rest
(see `deploy/prometheus/tests`)."""


class Prometheus:
    """What it knows."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http

    async def query(self, expr: str) -> list[dict[str, Any]]:
        """The series that an expression selects now."""
        found: list[dict[str, Any]] = (await self._asked("query", {"query": expr}))["result"]
        return found

    async def evaluated(self) -> dict[str, str]:
        """The rules that have been evaluated, with the error of each, empty for none."""
        groups = (await self._asked("rules"))["groups"]
        return {rule["name"]: rule.get("lastError", "") for group in groups for rule in group["rules"]}

    async def firing(self) -> dict[str, list[dict[str, str]]]:
        """The labels of the alerts that fire, by name."""
        found: dict[str, list[dict[str, str]]] = {}
        for alert in (await self._asked("alerts"))["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert["labels"])
        return found

    async def fires(self, name: str, **labels: str) -> None:
        """Returns when the alert fires with these labels."""

        async def does() -> bool:
            return any(labels.items() <= each.items() for each in (await self.firing()).get(name, []))

        await eventually_seen(f"{name} with {labels}", does, within_seconds=_WITHIN_SECONDS)

    async def ends(self, *names: str) -> None:
        """Returns when none of these alerts fires any more."""

        async def have() -> bool:
            return not set(names) & set(await self.firing())

        await eventually_seen(f"the end of {names}", have, within_seconds=_WITHIN_SECONDS)

    async def has_seen(self, more: int) -> None:
        """Returns after this many further scrapes."""
        samples = f'sum(count_over_time(up{{job="{_JOB}"}}[1h]))'

        async def scrapes() -> int:
            found = await self.query(samples)
            return int(found[0]["value"][1]) if found else 0

        before = await scrapes()

        async def has() -> bool:
            return await scrapes() >= before + more

        await eventually_seen(f"{more} scrapes", has, within_seconds=_WITHIN_SECONDS)

    async def _asked(self, what: str, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
        async with self._http.get(f"{self._url}/api/v1/{what}", params=parameters) as response:
            answer = await response.json()
        assert answer["status"] == "success", (parameters, answer)
        data: dict[str, Any] = answer["data"]
        return data


@asynccontextmanager
async def prometheus(
    system: System, sooner: Mapping[str, tuple[str, str]] = MappingProxyType({}), every_seconds: int = 2
) -> AsyncIterator[Prometheus]:
    """One that scrapes this system while the block runs; in the rules of these alerts, one bound replaces another. A
    scrape may take until the next."""
    binary = needs.program("promtool", "prometheus")
    url = f"http://127.0.0.1:{(port := free_port())}"
    with tempfile.TemporaryDirectory(prefix="prometheus-") as kept:
        folder = Path(kept)
        command = [
            binary,
            f"--config.file={_configured(folder, system, sooner, every_seconds)}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        try:
            async with aiohttp.ClientSession() as http:

                async def is_ready() -> bool:
                    assert process.returncode is None, (folder / "log").read_text()
                    try:
                        async with http.get(f"{url}/-/ready") as response:
                            return response.status == 200
                    except aiohttp.ClientConnectionError:
                        return False

                await eventually_seen("a Prometheus that is ready", is_ready, within_seconds=_WITHIN_SECONDS)
                yield Prometheus(url, http)
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)


def _configured(folder: Path, system: System, sooner: Mapping[str, tuple[str, str]], every_seconds: int) -> Path:
    """A configuration with the shipped rules."""
    for file in RULES:
        document = read(file)
        for rule in (rule for group in document["groups"] for rule in group["rules"] if rule.get("alert") in sooner):
            bound, replaced = sooner[rule["alert"]]
            assert bound in rule["expr"], rule
            rule["expr"] = rule["expr"].replace(bound, replaced)
        for rule in (rule for group in document["groups"] for rule in group["rules"] if "for" in rule):
            rule["for"] = "5s"
        (folder / file.name).write_text(yaml.safe_dump(document), encoding="utf-8")
    target, every = system.url.removeprefix("http://"), f"{every_seconds}s"
    document = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": "1s"},
        "rule_files": [str(folder / file.name) for file in RULES],
        "scrape_configs": [{"job_name": _JOB, "static_configs": [{"targets": [target]}]}],
    }
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path
