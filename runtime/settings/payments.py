"""Which providers take payments, and how they are reached."""

from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from runtime.settings.section import Section

SANDBOX_SECRET = "whsec_dGlkZWdhdGUgc2FuZGJveCwgZm9yIGRldmVsb3BtZW50"  # noqa: S105 - the sandbox moves no money


class Payments(Section):
    """Payments."""

    payment_providers: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        None,
        description="Names of the providers that take payments, separated by commas: `sandbox` (in development only),"
        " `invoice`, `stripe`. Unset: `sandbox` and `invoice` in development, `invoice` in production.",
    )
    payment_timeout_seconds: float = Field(
        20.0,
        description="Longest wait for a provider's answer; after it the outcome of the request is unknown, and it is "
        "repeated.",
        gt=0,
        le=60,
    )
    payment_ask_seconds: float = Field(
        300.0,
        description="How long something may be pending before its provider is asked; after that, twice as long each "
        "time.",
        gt=0,
    )
    payment_ask_max_seconds: float = Field(
        3_600.0, description="Longest interval between two questions to a provider about a payment.", gt=0
    )
    sandbox_port: int = Field(
        8010,
        description="Port on 127.0.0.1 where the sandbox listens. Unset: `tidegate up` takes any free one.",
        ge=1,
        le=65535,
    )
    sandbox_secret: SecretStr = Field(
        SecretStr(SANDBOX_SECRET), description="Signs the sandbox's webhooks, and is the password of its API."
    )

    stripe_secret_key: SecretStr | None = Field(
        None, description="Stripe's secret (or restricted) key, if `stripe` takes payments."
    )
    stripe_webhook_secret: SecretStr | None = Field(
        None, description="Signing secret of the endpoint at Stripe that sends to `/hooks/payments/stripe`."
    )
    stripe_url: str | None = Field(
        None, description="Where Stripe's API is, for tests against another server. Unset: at Stripe."
    )

    @field_validator("payment_providers", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value
