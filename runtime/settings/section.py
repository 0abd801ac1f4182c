"""What every section of the settings has in common: where its values come from, and how variables are named."""

from pydantic import AliasChoices
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "TIDEGATE_"


class Section(BaseSettings):
    """Fields are environment variables with the prefix `TIDEGATE_`. The first line of a section's docstring is its
    heading in `docs/settings.md`."""

    # Errors do not repeat the value that was given: it may contain a password.
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)


def also_bare(name: str) -> AliasChoices:
    """Accepts the name that hosting platforms set (such as DATABASE_URL) besides our own, which takes precedence."""
    return AliasChoices(f"{PREFIX}{name}", name)
