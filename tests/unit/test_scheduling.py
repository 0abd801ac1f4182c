"""The test processes share the work as `tests.scheduling` says, and settings are those of the test's environment."""

from pathlib import Path
from typing import Any

import pytest

from runtime.settings import settings
from tests import scheduling
from tests.scheduling import Scheduling, import_in_turn

FILES = (
    "tests/chaos/test_a.py",
    "tests/e2e/test_b.py",
    "tests/e2e/test_c.py",
    "tests/e2e/test_d.py",
    "tests/unit/test_e.py",
)


class _Config:
    """What the scheduler asks pytest's configuration for."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self.option = self
        self.loadscopereorder = False

    def getvalue(self, _: str) -> list[str]:
        return ["popen"] * self._processes


class _Process:
    """A test process that runs what it is given, when it is told to."""

    id = "gw"
    shutting_down = False

    def __init__(self, collected: list[str]) -> None:
        self.given: list[str] = []
        self.gateway = self
        self._collected = collected

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += [self._collected[index] for index in indices]

    def shutdown(self) -> None:
        self.shutting_down = True


def _given(processes: int) -> list[list[str]]:
    """The files that each process is given in the end; they run in turn, one test at a time."""
    collected = [f"{file}::test_{number}" for file in FILES for number in range(4)]
    config: Any = _Config(processes)
    scheduler = Scheduling(config)
    running: list[Any] = [_Process(collected) for _ in range(processes)]
    for process in running:
        scheduler.add_node(process)
        scheduler.add_node_collection(process, collected)
    scheduler.schedule()
    done = 0
    while any(len(process.given) > done for process in running):
        for process in running:
            if len(process.given) > done:
                scheduler.mark_test_complete(process, collected.index(process.given[done]))
        done += 1
    assert sorted(test for process in running for test in process.given) == sorted(collected)
    return [list(dict.fromkeys(test.partition("::")[0] for test in process.given)) for process in running]


def test_a_third_process_leaves_the_shop_closed() -> None:
    *openers, other = _given(3)
    assert other == ["tests/unit/test_e.py"]
    assert all(any("e2e" in file for file in files) for files in openers)


@pytest.mark.parametrize("processes", [1, 2])
def test_nothing_is_left_undone_by_fewer_processes(processes: int) -> None:
    assert len(_given(processes)) == processes


def test_each_process_imports_everything_from_a_different_starting_point(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []

    def note(name: str) -> None:
        imported.append(name)
        raise SyntaxError(name)  # which is reported later

    monkeypatch.setattr(scheduling, "import_module", note)
    files = [Path(scheduling.__file__).parents[1] / file for file in FILES]
    for number in range(2):
        import_in_turn(files, number, 2)
    assert imported[0] == "tests.chaos.test_a"
    assert imported[5:7] == ["tests.e2e.test_c", "tests.e2e.test_d"]
    assert sorted(imported[:5]) == sorted(imported[5:])


@pytest.mark.parametrize("port", [9001, 9002])
def test_settings_are_those_of_the_test_s_own_environment(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("PORT", str(port))
    assert settings().port == port


def test_settings_of_the_test_before_are_gone() -> None:
    assert settings().port == 8000
    assert settings() is settings()
