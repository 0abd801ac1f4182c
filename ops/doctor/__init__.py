"""`tidegate doctor`: checks the settings, the servers and this machine, and says what is wrong and how to fix it.

Each part collects facts (`ask`) and judges them (`judge`, which is pure). A fact that cannot be determined is reported,
but does not count as a failure.
"""

from ops.doctor.finding import Finding
from ops.doctor.machine import of_machine
from ops.doctor.postgres import of_postgres
from ops.doctor.redis import of_redis
from ops.doctor.replica import of_replica
from ops.doctor.settings import of_settings
from runtime.settings import Settings


async def examine(config: Settings) -> list[Finding]:
    """All findings about a Tidegate with these settings, run from this machine."""
    servers = [*await of_postgres(config), *await of_replica(config), *await of_redis(config)]
    return [*of_settings(config), *servers, *of_machine(config)]
