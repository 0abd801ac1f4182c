"""`tidegate load` lists what there is, and knows which options are for whom, without importing Locust."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from loadtests.frame import cli


def test_it_lists_the_scenarios_with_what_they_are() -> None:
    listed = CliRunner().invoke(cli.load)
    assert listed.exit_code == 0
    for name, said in cli.scenarios().items():
        assert f"{name} " in listed.output
        assert said.endswith("."), name


def test_an_unknown_scenario_is_answered_with_the_known_ones() -> None:
    refused = CliRunner().invoke(cli.load, ["flash_sail", "--pieces", "7"])
    assert refused.exit_code == 2
    assert "no load test 'flash_sail'" in refused.output
    assert "flash_sale" in refused.output


@pytest.mark.parametrize(
    ("options", "headless", "reports"),
    [
        ([], True, True),
        (["--host", "http://127.0.0.1"], True, True),
        (["--web-port", "8089"], False, True),
        (["--web-host=127.0.0.1"], False, True),
        (["--worker", "--master-host", "10.0.0.1"], False, False),
    ],
)
def test_there_is_no_page_unless_it_is_asked_for(
    options: list[str], headless: bool, reports: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.chdir(str(tmp_path))
    command = cli.locust_command("orders", options)
    assert ("--headless" in command, "--reports" in command) == (headless, reports)


def test_it_does_not_let_locust_patch_this_process() -> None:
    program = "import sys, loadtests.frame.cli; sys.exit('gevent' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
