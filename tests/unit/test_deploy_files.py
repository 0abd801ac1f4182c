"""What `deploy/` says agrees with the program: settings, commands, probes, times. Tools of other people look at it in
`tests/e2e/test_deploy.py`."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from gateway.app import api
from ops import processes
from ops.cli import ENTRY_POINTS
from runtime.settings import Settings, variables_of

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
COMPOSE: Final = DEPLOY / "compose"
UNITS: Final = DEPLOY / "systemd"
_SETTINGS: Final = {name for field in Settings.model_fields.items() for name in variables_of(*field)}
# uvicorn's and OpenTelemetry's own, and those of the servers beside us.
_OTHERS: Final = {"FORWARDED_ALLOW_IPS", "OTEL_EXPORTER_OTLP_ENDPOINT", "POSTGRES_PASSWORD"}
_METRICS_PORT_OF: Final = {
    "gateway": "TIDEGATE_METRICS_PORT",
    "worker": "TIDEGATE_WORKER_METRICS_PORT",
    "background": "TIDEGATE_WORKER_METRICS_PORT",
}
"""The setting that has a role serve its metrics where it has a home of its own, shared with no other."""


class Pod(NamedTuple):
    """What runs somewhere, by the name of its file and object."""

    name: str
    spec: dict[str, Any]

    @property
    def container(self) -> dict[str, Any]:
        (container,) = self.spec["containers"]
        assert isinstance(container, dict)
        return container


def documents() -> list[dict[str, Any]]:
    files = sorted(file for file in (DEPLOY / "kubernetes").glob("*.yaml") if file.stem != "kustomization")
    return [each for file in files for each in yaml.safe_load_all(file.read_text())]


def pods() -> list[Pod]:
    kinds = ("Deployment", "Job")
    return [Pod(e["metadata"]["name"], e["spec"]["template"]["spec"]) for e in documents() if e["kind"] in kinds]


def configured() -> dict[str, str]:
    """What Kubernetes tells every role."""
    (data,) = [each["data"] for each in documents() if each["kind"] == "ConfigMap"]
    assert isinstance(data, dict)
    return data


def services() -> dict[str, dict[str, Any]]:
    said = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    return {name: service for name, service in said.items() if service["image"] == "tidegate"}


def settings_named() -> dict[str, str]:
    """Every variable that a file sets, and where."""
    found: dict[str, str] = {}
    for each in documents():
        for kind in ("data", "stringData"):
            found |= dict.fromkeys(each.get(kind, {}), each["metadata"]["name"])
    for service in services().values():
        found |= dict.fromkeys(service["environment"], "compose.yaml")
    for file in (COMPOSE / "example.env", UNITS / "tidegate.env"):
        found |= dict.fromkeys(re.findall(r"^(?:# )?([A-Z_]+)=", file.read_text(), re.MULTILINE), file.name)
    for unit in UNITS.glob("*.service"):
        found |= dict.fromkeys(re.findall(r"^Environment=([A-Z_]+)=", unit.read_text(), re.MULTILINE), unit.name)
    image = (DEPLOY / "Containerfile").read_text()
    return found | dict.fromkeys(re.findall(r"\b(TIDEGATE_[A-Z_]+)=", image), "Containerfile")


def test_every_variable_is_a_setting() -> None:
    named = settings_named()
    assert {name: where for name, where in named.items() if name not in _SETTINGS | _OTHERS} == {}
    assert {"DATABASE_URL", "TIDEGATE_JWT_SECRET", "TIDEGATE_MODE", "TIDEGATE_HOME", "PORT"} <= named.keys()


def test_every_role_is_run_everywhere_by_a_command_that_exists() -> None:
    roles = set(processes.commands())
    commands = {entry.name for entry in entry_points(group=ENTRY_POINTS)}
    for said in (
        [pod.container["args"] for pod in pods()],
        [service["command"] for service in services().values()],
    ):
        assert {arguments[1] for arguments in said if arguments[0] == "run"} == roles
        assert {arguments[0] for arguments in said} == {"run", "migrate"} <= commands
    target = (UNITS / "tidegate.target").read_text()
    assert set(re.findall(r"tidegate@(\w+)\.service", target)) == roles
    assert re.findall(r"^ExecStart=\S+/tidegate (.*)$", (UNITS / "tidegate@.service").read_text(), re.MULTILINE) == [
        "run %i"
    ]


def test_supervisors_wait_for_longer_than_a_role_takes_to_end() -> None:
    longest = Settings.model_fields["stop_seconds"].default
    assert int(configured()["TIDEGATE_STOP_NOTICE_SECONDS"]) > 0, "proxies learn of it a moment later"
    for pod in pods():
        if "restartPolicy" not in pod.spec:
            assert pod.spec["terminationGracePeriodSeconds"] > int(configured()["TIDEGATE_STOP_SECONDS"]) + 2, pod.name
    for service in services().values():
        assert int(service["stop_grace_period"].removesuffix("s")) > longest + 2
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", (UNITS / "tidegate@.service").read_text(), re.MULTILINE)
    assert int(seconds) > longest + 2


def test_probes_use_paths_that_exist() -> None:
    answered = {getattr(route, "path", None) for route in api(Settings()).routes} | {"/health/live", "/health/ready"}
    (gateway,) = [pod for pod in pods() if pod.name == "tidegate-gateway"]
    probes = {name: gateway.container[name] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {probe["httpGet"]["path"] for probe in probes.values()} <= answered
    # One that asks the servers would have every gateway restarted because a server is.
    assert probes["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert {port["name"]: port["containerPort"] for port in gateway.container["ports"]} == {
        "http": Settings.model_fields["port"].default,
        "metrics": 9100,
    }


@pytest.mark.parametrize(("role", "setting"), _METRICS_PORT_OF.items())
def test_prometheus_is_shown_to_every_pod_that_counts(role: str, setting: str) -> None:
    (deployment,) = [
        each for each in documents() if each["kind"] == "Deployment" and each["metadata"]["name"] == f"tidegate-{role}"
    ]
    served = configured()[setting]
    assert configured()["TIDEGATE_METRICS_HOST"] == "0.0.0.0"
    annotations = deployment["spec"]["template"]["metadata"].get("annotations", {})
    assert annotations == {"prometheus.io/scrape": "true", "prometheus.io/port": served}
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "metrics", "containerPort": int(served)} in container.get("ports", [])


def test_the_compose_file_has_a_port_for_the_metrics_of_every_role() -> None:
    """Each on this machine alone, and a target of what prometheus.yml says for this file."""
    published = []
    for role, setting in _METRICS_PORT_OF.items():
        service = services()[role]
        served = service["environment"].get(setting)
        assert served, f"{role} serves no metrics"
        assert service["environment"]["TIDEGATE_METRICS_HOST"] == "0.0.0.0"
        (address,) = [port.rpartition(":")[0] for port in service.get("ports", []) if port.endswith(f":{served}")]
        published.append(address)
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    (targets,) = re.findall(r"^ *# For deploy/compose: +(\[.*\])$", text, re.MULTILINE)
    assert yaml.safe_load(targets) == published
    assert all(address.startswith("127.0.0.1:") for address in published)
    assert len(set(published)) == len(published)


@pytest.mark.parametrize("pod", pods(), ids=lambda pod: pod.name)
def test_pods_may_do_nothing_but_their_work(pod: Pod) -> None:
    # A service called tidegate-gateway would otherwise set TIDEGATE_GATEWAY_PORT and the like, which are no settings.
    assert pod.spec["enableServiceLinks"] is False
    assert pod.spec["automountServiceAccountToken"] is False
    assert pod.spec["securityContext"]["runAsNonRoot"] is True
    (user,) = re.findall(r"^USER (\d+):\d+$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    assert pod.spec["securityContext"]["runAsUser"] == int(user)
    assert pod.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod.container["resources"]["limits"].keys() == {"memory"}


def test_every_deployment_has_what_belongs_to_it() -> None:
    """A budget for those that are several, an autoscaler for those that crowds press, and selectors that fit."""
    by_kind: dict[str, dict[str, dict[str, Any]]] = {}
    for each in documents():
        by_kind.setdefault(each["kind"], {})[each["metadata"]["name"]] = each
    deployments = by_kind["Deployment"]
    assert set(by_kind["PodDisruptionBudget"]) == set(deployments) - {"tidegate-scheduler"}
    assert set(by_kind["HorizontalPodAutoscaler"]) == {"tidegate-gateway", "tidegate-worker"}
    for name, scaler in by_kind["HorizontalPodAutoscaler"].items():
        assert scaler["spec"]["scaleTargetRef"]["name"] == name
        assert "replicas" not in deployments[name]["spec"], "it would be set back with every apply"
    for name, each in deployments.items():
        labels = each["spec"]["template"]["metadata"]["labels"]
        assert each["spec"]["selector"]["matchLabels"] == labels
        for kind in ("PodDisruptionBudget", "Service"):
            selecting = by_kind[kind].get(name, {}).get("spec", {}).get("selector", labels)
            assert selecting.get("matchLabels", selecting) == labels
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    files = {file.name for file in (DEPLOY / "kubernetes").glob("*.yaml")}
    assert set(listed) == files - {"kustomization.yaml", "secret.example.yaml"}


def test_the_servers_beside_us_lose_nothing() -> None:
    said = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    valkey, postgres = said["valkey"]["command"], said["postgres"]["command"]
    for option in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction", "--maxmemory "):
        assert option in valkey
    for option in ("fsync", "synchronous_commit", "full_page_writes"):
        assert f"{option}=off" not in postgres
    assert said["valkey"]["volumes"]
    assert said["postgres"]["volumes"]
