"""`tidegate doctor`: looks at the settings, the servers and this machine, and says what is wrong and what to do.

Each part asks for facts (`ask`) and judges them (`judge`), which is pure. What cannot be found out is said, and is no
failure.
"""

from ops.doctor.finding import Finding
from ops.doctor.machine import of_machine
from ops.doctor.postgres import of_postgres
from ops.doctor.redis import of_redis
from ops.doctor.replica import of_replica
from ops.doctor.settings import of_settings
from runtime.settings import Settings


async def examine(config: Settings) -> list[Finding]:
    """Everything there is to say about a Tidegate with these settings, run from here."""
    servers = [*await of_postgres(config), *await of_replica(config), *await of_redis(config)]
    return [*of_settings(config), *servers, *of_machine(config)]
