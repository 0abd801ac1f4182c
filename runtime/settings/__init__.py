"""Every setting, with its unit, its default and its reason, read from the environment once per process.

A section is a module. `docs/settings.md` is generated from them (`make settings`). A bound's description says what a
client that reaches it is told.
"""

import difflib
import os
import re
from functools import lru_cache
from typing import Self

from pydantic import AliasChoices, model_validator
from pydantic.fields import FieldInfo

from runtime.settings.background import SMTP_SCHEMES, Jobs, Mail, Reactions, Tasks, Verifying, Webhooks
from runtime.settings.checkouts import Checkouts
from runtime.settings.commands import Commands
from runtime.settings.connections import Connections
from runtime.settings.delivering import Delivering
from runtime.settings.deployment import Deployment
from runtime.settings.http import Http
from runtime.settings.identity import DEVELOPMENT_SECRET, Identity
from runtime.settings.limits import Limits
from runtime.settings.log import Log
from runtime.settings.payments import Payments
from runtime.settings.realtime import Realtime
from runtime.settings.section import PREFIX, Section
from runtime.settings.seller import Seller
from runtime.settings.taxing import Taxing

__all__ = [
    "DEVELOPMENT_SECRET",
    "OTHER_VARIABLES",
    "SECTIONS",
    "SMTP_SCHEMES",
    "Settings",
    "UnknownSettings",
    "settings",
    "variables_of",
]

SECTIONS: tuple[type[Section], ...] = (
    Deployment,
    Identity,
    Commands,
    Checkouts,
    Http,
    Limits,
    Realtime,
    Connections,
    Tasks,
    Jobs,
    Reactions,
    Mail,
    Webhooks,
    Payments,
    Taxing,
    Delivering,
    Seller,
    Verifying,
    Log,
)
"""In the order of `docs/settings.md`."""

# Other variables with our prefix, read by commands of the CLI, by the benchmarks and by the tests.
OTHER_VARIABLES = frozenset(
    {"TIDEGATE_TOKEN", "TIDEGATE_WEBHOOK_SECRET", "TIDEGATE_BENCH_BODY_BYTES", "TIDEGATE_TESTS_REQUIRE"}
)

# What Kubernetes sets in every container when a service is called "tidegate".
_SET_BY_KUBERNETES = re.compile(r"TIDEGATE_(SERVICE|PORT)_")


class Settings(
    Deployment,
    Identity,
    Commands,
    Checkouts,
    Http,
    Limits,
    Realtime,
    Connections,
    Tasks,
    Jobs,
    Reactions,
    Mail,
    Webhooks,
    Payments,
    Taxing,
    Delivering,
    Seller,
    Verifying,
    Log,
):
    """All sections in one: see each field."""

    @property
    def webhooks_may_be_private(self) -> bool:
        """Whether webhooks may be sent to addresses that are not public."""
        if self.webhook_private_addresses is None:
            return self.mode == "development"
        return self.webhook_private_addresses

    @property
    def providers(self) -> tuple[str, ...]:
        """The names of the providers that take payments."""
        if self.payment_providers is None:
            return ("sandbox", "invoice") if self.mode == "development" else ("invoice",)
        return self.payment_providers

    @model_validator(mode="after")
    def _the_sandbox_takes_no_real_orders(self) -> Self:
        if self.mode == "production" and "sandbox" in self.providers:
            raise ValueError("TIDEGATE_PAYMENT_PROVIDERS names the sandbox, which moves no money: not in production")
        return self

    @model_validator(mode="after")
    def _production_has_its_own_secret(self) -> Self:
        secret = self.jwt_secret.get_secret_value()
        if len(secret.encode()) < 32:
            raise ValueError("TIDEGATE_JWT_SECRET is shorter than 32 bytes")
        if self.mode == "production" and _is_development_secret(secret) and self.signing_keys is None:
            raise ValueError(
                "TIDEGATE_MODE=production needs TIDEGATE_SIGNING_KEYS, or a TIDEGATE_JWT_SECRET of its own"
            )
        return self


def _is_development_secret(secret: str) -> bool:
    """Whether it is the development secret, or contains it."""
    return DEVELOPMENT_SECRET in "".join(secret.split()).lower()


@lru_cache(maxsize=1)
def settings() -> Settings:
    """This process's settings. Raises pydantic's ValidationError for an invalid value, and UnknownSettings for an
    unknown variable: a bound whose name is misspelt would otherwise silently not be set."""
    if unknown := sorted(name for name in map(str.upper, os.environ) if _is_ours(name) and name not in _known()):
        raise UnknownSettings("; ".join(_unknown(name) for name in unknown))
    return Settings()


class UnknownSettings(ValueError):
    """Environment variables that begin with TIDEGATE_ but are not settings; the message suggests what was meant."""


def variables_of(name: str, field: FieldInfo) -> list[str]:
    """The environment variables that set a field; the first takes precedence."""
    alias = field.validation_alias
    return list(map(str, alias.choices)) if isinstance(alias, AliasChoices) else [f"{PREFIX}{name.upper()}"]


def _is_ours(name: str) -> bool:
    return name.startswith(PREFIX) and not _SET_BY_KUBERNETES.match(name)


def _known() -> set[str]:
    return {name for field in Settings.model_fields.items() for name in variables_of(*field)} | OTHER_VARIABLES


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, _known(), n=1)
    return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")
