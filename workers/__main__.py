"""Runs worker processes: `python -m workers APP OPTIONS`, which is `taskiq worker APP OPTIONS` with one difference:
everything is imported before the processes are forked, so that one that was killed is at work again within a moment
and not after a second of imports.
"""

import sys

from taskiq.cli.worker.args import WorkerArgs
from taskiq.cli.worker.run import run_worker

import workers.app
import workers.background  # noqa: F401 - for the processes to come


def main() -> None:
    sys.exit(run_worker(WorkerArgs.from_cli(sys.argv[1:])))


if __name__ == "__main__":
    main()
