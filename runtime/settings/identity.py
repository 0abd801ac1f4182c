"""Who may come in: signing keys, tokens, and how often somebody may try."""

from pathlib import Path

from pydantic import Field, SecretStr

from runtime.settings.section import Section

DEVELOPMENT_SECRET = "tidegate-development-secret-not-for-production"  # noqa: S105 - production refuses it


class Identity(Section):
    """Sign-in and tokens."""

    jwt_secret: SecretStr = Field(
        SecretStr(DEVELOPMENT_SECRET), description="HS256 key that signs tokens; 32 bytes or more."
    )
    signing_keys: Path | None = Field(
        None,
        description="File with a private JWK Set that signs tokens in place of the secret; see `tidegate keys rotate`.",
    )
    access_token_seconds: int = Field(900, description="Lifetime of an access token.", ge=60, le=3_600)
    session_seconds: int = Field(
        30 * 86_400, description="How long a session can be refreshed before its owner must sign in again.", ge=3_600
    )
    guest_token_seconds: int = Field(90 * 86_400, description="Lifetime of a guest's link to an order.", ge=3_600)
    confirm_link_seconds: int = Field(
        86_400, description="Lifetime of the link that confirms a new account's address.", ge=60
    )
    reset_link_seconds: int = Field(3_600, description="Lifetime of the link that resets a password.", ge=60)
    registration_keep_days: int = Field(
        7, description="A registration not confirmed within this time is erased, and its address is free again.", ge=1
    )
    token_cache_max_entries: int = Field(
        10_000, description="Verified tokens cached per gateway process; the oldest is evicted first.", ge=1
    )
    password_concurrency: int = Field(
        2,
        description="Passwords hashed at once by one gateway process; each takes 64 MiB and about 50 ms of a core.",
        ge=1,
        le=64,
    )
    password_queue_max: int = Field(
        64, description="Passwords waiting to be hashed in one gateway process; beyond it: 503 `gateway_busy`.", ge=1
    )
    guess_window_seconds: int = Field(
        900,
        description="How long an attempt counts towards the following bounds; beyond one: 429 `too_many_attempts`.",
        ge=1,
    )
    guess_max_per_address: int = Field(50, description="Failed sign-ins from one address, to any account.", ge=1)
    guess_max_per_account_and_address: int = Field(
        10, description="Failed sign-ins to one account from one address.", ge=1
    )
    guess_max_by_strangers: int = Field(
        30, description="Failed sign-ins to one account from all addresses that have never signed in to it.", ge=1
    )
    registrations_max_per_address: int = Field(20, description="Registrations from one address.", ge=1)
    resets_max_per_address: int = Field(20, description="Requests for a password reset from one address.", ge=1)
    guest_orders_max_per_address: int = Field(200, description="Guests' orders from one address.", ge=1)
    gift_cards_max_per_address: int = Field(50, description="Invalid gift card codes from one address.", ge=1)
    gift_card_mails_max_per_card: int = Field(
        3, description="Times that staff can have a gift card's code mailed to its buyer again.", ge=1
    )
    promotion_codes_max_per_address: int = Field(
        50, description="Requests from one address with an invalid promotion code.", ge=1
    )
    guest_mails_max_per_address: int = Field(
        60, description="Orders that guests confirm or cancel from one address; each is answered by mail.", ge=1
    )
