"""Who says what live delivery methods cost, and how it is reached."""

from typing import Final

from pydantic import Field, SecretStr

from runtime.settings.section import Section

RATE_LEAST_SECONDS: Final = 60
"""A buyer needs that long to order at a rate."""


class Delivering(Section):
    """Live delivery rates."""

    delivery_provider: str | None = Field(
        None,
        description="Who sets the prices of live delivery methods: `remote`, a service of the shop's own. Unset: "
        "nobody, and they are not available. Must be the same for all processes.",
    )
    delivery_url: str | None = Field(None, description="Where `remote` is asked for rates.")
    delivery_secret: SecretStr | None = Field(None, description="Bearer token that `remote` is asked with.")
    delivery_timeout_seconds: float = Field(
        5.0, description="Longest wait for a delivery provider's answer; after it, it is asked again.", gt=0, le=60
    )
    delivery_rate_seconds: int = Field(
        900,
        description="Longest time that a live rate is valid, whatever its provider says; after it, it is requested "
        "again.",
        ge=RATE_LEAST_SECONDS,
        le=86_400,
    )
