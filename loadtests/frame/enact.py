"""Connects a scenario with Locust: the last line of every scenario's file calls this."""

from __future__ import annotations

from typing import Any

from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests.frame import company, options
from loadtests.frame.leading import Leading
from loadtests.frame.scenario import Scenario


def enact(scenario: Scenario) -> None:
    """Makes the calling Locust file run this scenario."""
    hooks: Any = events  # Locust has no types there

    def add_options(parser: LocustArgumentParser) -> None:
        options.add(parser, scenario)

    def open_(environment: Environment, **_: Any) -> None:
        if isinstance(environment.runner, WorkerRunner):
            company.join(environment)
        else:
            Leading(environment, scenario).open()

    hooks.init_command_line_parser.add_listener(add_options)
    hooks.init.add_listener(open_)
