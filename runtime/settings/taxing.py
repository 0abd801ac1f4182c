"""Who computes taxes, and how it is reached."""

from pydantic import Field, SecretStr

from runtime.settings.section import Section


class Taxing(Section):
    """Taxes."""

    tax_provider: str | None = Field(
        None,
        description="Who computes taxes: `remote`, a service of the shop's own. Unset: the shop itself, by the rates "
        "in its terms. Must be the same for all processes.",
    )
    tax_url: str | None = Field(None, description="Where `remote` is asked.")
    tax_secret: SecretStr | None = Field(None, description="Bearer token that `remote` is asked with.")
    tax_fallback_seconds: float | None = Field(
        None,
        description="How long a checkout waits for a tax provider that is unavailable or answers nonsense before it "
        "is taxed by the rates in the shop's terms, if they have any for its country. Taxes missing there are then "
        "not charged. Unset: for as long as it takes.",
        ge=0,
        le=86_400,
    )
    tax_timeout_seconds: float = Field(
        5.0, description="Longest wait for a tax provider's answer; after it, it is asked again.", gt=0, le=60
    )
