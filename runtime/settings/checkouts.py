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
        description="What buyers' e-mail addresses are hashed with, to count what one buyer has bought without keeping"
        " the address. Another key forgets what was counted. Unset: `TIDEGATE_JWT_SECRET`.",
    )
    gift_card_key: SecretStr | None = Field(
        None,
        description="What gift cards' codes are worked out with. With another key, codes that people have stay good,"
        " but none that was shown or mailed before can be told again. Unset: `TIDEGATE_JWT_SECRET`.",
    )
