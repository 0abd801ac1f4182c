"""How often one client may ask."""

from pydantic import Field

from runtime.settings.section import Section


class Limits(Section):
    """Requests of one client.

    Token buckets, shared by all gateways: a rate in the long run, and how much of it may come at once.
    """

    principal_reads_per_second: float = Field(
        1_000.0,
        description="Reads (GET) of one principal, on average; beyond it: 429 `too_many_requests` with Retry-After. 0:"
        " no bound.",
        ge=0,
    )
    principal_reads_burst: int = Field(10_000, description="Reads of one principal in one burst.", ge=1)
    principal_writes_per_second: float = Field(
        500.0, description="Requests of one principal that are not reads; as above.", ge=0
    )
    principal_writes_burst: int = Field(5_000, description="Such requests of one principal in one burst.", ge=1)
    address_reads_per_second: float = Field(
        2_000.0,
        description="Reads from one address (for IPv6, one /64), as above. Staff's do not count, nor those that a proxy"
        " in `FORWARDED_ALLOW_IPS` sends without saying for whom.",
        ge=0,
    )
    address_reads_burst: int = Field(20_000, description="Reads from one address in one burst.", ge=1)
    address_writes_per_second: float = Field(
        1_000.0, description="Requests from one address that are not reads; as above.", ge=0
    )
    address_writes_burst: int = Field(10_000, description="Such requests from one address in one burst.", ge=1)
