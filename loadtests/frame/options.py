"""The options of all scenarios, besides Locust's own. Options that take effect at the start can be changed on the web
page."""

from __future__ import annotations

from typing import Any, Final

from locust.argument_parser import LocustArgumentParser

from loadtests.frame.scenario import Scenario

STOP_TIMEOUT_SECONDS: Final = 130.0
"""How long users may take to finish what they are doing; longer than anything they wait for."""

SPAWN_RATE_MAX: Final = 100
"""Users a second; Locust warns of more."""


def add(parser: LocustArgumentParser, scenario: Scenario) -> None:
    """Adds the options of all scenarios, and those of this one."""
    for option, variable, secret, text in (
        (
            "--token",
            "LOAD_TOKEN",
            True,
            "An admin's API key or access token: prepares the run, and judges it",
        ),
        ("--email", "LOAD_EMAIL", False, "Sign in as this admin instead"),
        ("--password", "LOAD_PASSWORD", True, "The password for --email"),
        ("--shopper-tokens", "LOAD_SHOPPER_TOKENS", False, "File of customers' bearer tokens, one a line"),
    ):
        parser.add_argument(option, default="", env_var=variable, help=text, include_in_web_ui=False, is_secret=secret)
    parser.add_argument(
        "--shoppers", type=int, default=100, help="Without a file of tokens: make this many customers' API keys"
    )
    parser.add_argument("--rate", type=float, default=scenario.rate, help="Arrivals a second, on average")
    parser.add_argument(
        "--slower",
        type=float,
        default=1.0,
        help="Multiply the thresholds of times, for a system on a slower machine than a server's four cores",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="Run `tidegate verify` in the end; needs the system's settings, or the folder of its `make up`",
        include_in_web_ui=False,
    )
    parser.add_argument(
        "--watch", default="", help="Processes on this machine, as name=pid,name=pid", include_in_web_ui=False
    )
    parser.add_argument("--reports", default="", help="Folder for verdict.json and junit.xml", include_in_web_ui=False)
    scenario.add_options(parser)


def fill_in(options: Any, scenario: Scenario) -> None:
    """Fills in the scenario's defaults for options that were left out."""
    if options.num_users is None:
        options.num_users = scenario.users + scenario.watchers(options)
    if options.spawn_rate is None:
        options.spawn_rate = min(options.num_users, SPAWN_RATE_MAX)
    if options.run_time is None:
        options.run_time = scenario.run_time
