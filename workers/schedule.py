"""The scheduler, which requests the sweep; run it with `taskiq scheduler workers.schedule:create_scheduler`. It imports
none of the workers' code, so that it starts quickly and stays small.
"""

import asyncio
import signal
from typing import Final

from taskiq import TaskiqEvents, TaskiqScheduler, TaskiqState
from taskiq.schedule_sources import LabelScheduleSource

from runtime import logs
from runtime.activation import SWEEP_TASK, ActivationBroker
from runtime.heartbeat import Heartbeat
from runtime.settings import settings

_SWEEP_INTERVAL_SECONDS: Final = 1


def create_scheduler() -> TaskiqScheduler:
    """Requests the sweep every second. One scheduler serves all workers; a second would do no harm."""
    config = settings()
    logs.configure(config.log_level, as_json=config.logs_json)
    broker = ActivationBroker(config.redis_url)

    heartbeat = Heartbeat("scheduler")

    async def begin(state: TaskiqState) -> None:
        # taskiq does not handle SIGTERM, and a container's first process ignores signals that it does not handle.
        running = asyncio.current_task()
        assert running is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
        heartbeat.start()

    def end(state: TaskiqState) -> None:
        heartbeat.stop()

    broker.add_event_handler(TaskiqEvents.CLIENT_STARTUP, begin)
    broker.add_event_handler(TaskiqEvents.CLIENT_SHUTDOWN, end)

    @broker.task(task_name=SWEEP_TASK, schedule=[{"interval": _SWEEP_INTERVAL_SECONDS}])
    async def sweep() -> None:
        raise NotImplementedError("only workers run the sweep")

    return TaskiqScheduler(broker, [LabelScheduleSource(broker)])
