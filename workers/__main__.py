"""Runs worker processes: `python -m workers APP OPTIONS` is `taskiq worker APP OPTIONS` with one difference: everything
is imported before the processes are forked, so that a killed process is replaced at once and not after a second of
imports.
"""

import sys

from taskiq.cli.worker.args import WorkerArgs
from taskiq.cli.worker.run import run_worker

import workers.app
import workers.background  # noqa: F401 - imported for the forked processes


def main() -> None:
    sys.exit(run_worker(WorkerArgs.from_cli(sys.argv[1:])))


if __name__ == "__main__":
    main()
