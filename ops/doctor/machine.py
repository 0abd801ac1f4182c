"""This machine: disk, open files, the folder that metrics are shared in, and whether a gateway answers."""

import http.client
import os
import resource
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from ops.doctor.finding import Finding, disk, failure, ok, warning
from ops.processes import reachable
from runtime.files import OPEN_FILES_MAX
from runtime.settings import Settings

_ANSWER_TIMEOUT_SECONDS: Final = 5.0
_METRICS_FILES_MAX: Final = 200
_FILES_MIN: Final = 1_024


def of_machine(config: Settings) -> Iterator[Finding]:
    yield disk("disk", config.home.resolve())
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield judge_open_files(OPEN_FILES_MAX if hard == resource.RLIM_INFINITY else hard, config)
    yield judge_metrics_folder(config, os.environ)
    yield _gateway(config)


def judge_open_files(most: int, config: Settings) -> Finding:
    wanted = config.connections_max + config.descriptors_reserved
    said = f"a process may open {most:,}; with this TIDEGATE_CONNECTIONS_MAX a gateway needs {wanted:,}"
    advice = "raise the hard limit (ulimit -Hn, LimitNOFILE= in a systemd unit)"
    if most < _FILES_MIN:
        return failure("open files", said, advice)
    return warning("open files", said, advice) if most < wanted else ok("open files", said)


def judge_metrics_folder(config: Settings, environment: Mapping[str, str]) -> Finding:
    """`tidegate up` uses one below its home; where the Procfile is run otherwise, the environment names one."""
    named = environment.get("PROMETHEUS_MULTIPROC_DIR")
    folder = Path(named) if named else config.home.resolve() / "metrics"
    if not folder.is_dir():
        return warning(
            "metrics folder",
            f"there is no {folder}: `/metrics` shows one process only",
            "set PROMETHEUS_MULTIPROC_DIR to a folder that all processes of this machine share",
        )
    if not os.access(folder, os.W_OK):
        return failure("metrics folder", f"{folder} cannot be written to", "make the user who runs Tidegate its owner")
    files = sum(1 for _ in folder.glob("*.db"))
    if files > _METRICS_FILES_MAX:
        return warning(
            "metrics folder",
            f"{files:,} files in {folder}: scrapes are slow",
            "check whether processes keep dying; empty it while none of them is running",
        )
    return ok("metrics folder", f"{files} files in {folder}")


def _gateway(config: Settings) -> Finding:
    host = reachable(config.host)
    connection = http.client.HTTPConnection(host, config.port, timeout=_ANSWER_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace")[:200]
    except (OSError, http.client.HTTPException) as error:
        return ok("gateway", f"none answers at {host}:{config.port} ({error})")
    finally:
        connection.close()
    if answer.status == http.client.OK:
        return ok("gateway", f"answers at {host}:{config.port}: {said}")
    return failure(
        "gateway", f"at {host}:{config.port} says {answer.status}: {said}", "see what it is missing, and its log"
    )
