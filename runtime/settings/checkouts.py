"""Settings of checkouts."""

from pydantic import Field, SecretStr

from runtime.settings.section import Section


class Checkouts(Section):
    """Checkouts."""

    empty_checkout_keep_hours: int = Field(
        48, description="A checkout without lines that nobody has touched for this long expires.", ge=1
    )
    guest_checkout_keep_days: int = Field(
        30, description="A guest's checkout that nobody has touched for this long expires.", ge=1
    )
    checkout_keep_days: int = Field(
        90, description="A customer's checkout that nobody has touched for this long expires.", ge=1
    )
    identity_key: SecretStr | None = Field(
        None,
        description="Key that buyers' e-mail addresses are hashed with, to count what one buyer has bought without "
        "keeping the address. Changing it resets the counts. Unset: `TIDEGATE_JWT_SECRET`.",
    )
    gift_card_key: SecretStr | None = Field(
        None,
        description="Key that gift cards' codes are derived from. After changing it, codes that people have stay "
        "valid, but can no longer be shown or mailed again. Unset: `TIDEGATE_JWT_SECRET`.",
    )
