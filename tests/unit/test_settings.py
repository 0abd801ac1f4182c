"""Settings: read from the environment, validated when read, and safe in production."""

import re

import pytest
from pydantic import SecretStr, ValidationError

from runtime.settings import DEVELOPMENT_SECRET, Settings, UnknownSettings, settings

OWN_SECRET = "a-secret-of-at-least-thirty-two-bytes"


def test_everything_has_a_default_and_says_what_it_is_for() -> None:
    Settings()
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("DATABASE_URL", "postgresql://someone@db:5432/shop", "database_url"),
        ("TIDEGATE_DATABASE_URL", "postgresql://someone@db:5432/shop", "database_url"),
        ("REDIS_URL", "redis://cache:6379/3", "redis_url"),
        ("TIDEGATE_REDIS_URL", "redis://cache:6379/3", "redis_url"),
        ("PORT", "9000", "port"),
        ("TIDEGATE_PORT", "9000", "port"),
        ("TIDEGATE_MAILBOX_COUNT", "64", "mailbox_count"),
        ("TIDEGATE_BATCH_MAX_SECONDS", "0.5", "batch_max_seconds"),
        ("TIDEGATE_HOME", "elsewhere", "home"),
    ],
)
def test_a_setting_is_an_environment_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str
) -> None:
    monkeypatch.setenv(name, value)
    assert str(getattr(Settings(), field)) == value


def test_our_own_name_takes_precedence_over_the_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("TIDEGATE_PORT", "9001")
    assert Settings().port == 9001


def test_only_the_platforms_three_names_have_no_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Settings()
    for name in ("HOME", "HOST", "MODE", "LOG_LEVEL"):
        monkeypatch.setenv(name, "production")
    assert Settings() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("TIDEGATE_MAILBOX_COUNT", "0"),
        ("TIDEGATE_MAILBOX_COUNT", "4097"),
        ("TIDEGATE_MAILBOX_MAX_COMMANDS", "0"),
        ("TIDEGATE_BATCH_MAX_COMMANDS", "0"),
        ("TIDEGATE_BATCH_MAX_SECONDS", "0"),
        ("TIDEGATE_AWAKE_MILLISECONDS", "1"),
        ("TIDEGATE_MODE", "staging"),
        ("TIDEGATE_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_bound_out_of_its_bounds_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match="(?i)" + name.removeprefix("TIDEGATE_")):
        Settings()


def test_production_refuses_the_development_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_MODE", "production")
    with pytest.raises(ValidationError, match="TIDEGATE_JWT_SECRET of its own"):
        Settings()
    monkeypatch.setenv("TIDEGATE_JWT_SECRET", DEVELOPMENT_SECRET)
    with pytest.raises(ValidationError, match="TIDEGATE_JWT_SECRET of its own"):
        Settings()
    monkeypatch.setenv("TIDEGATE_JWT_SECRET", OWN_SECRET)
    assert Settings().mode == "production"


def test_a_short_secret_is_refused_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_JWT_SECRET", "short")
    with pytest.raises(ValidationError, match="32 bytes"):
        Settings()


def test_the_secret_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_JWT_SECRET", OWN_SECRET)
    assert OWN_SECRET not in repr(Settings())


def test_settings_do_not_change_while_a_process_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings()
    monkeypatch.setenv("PORT", "9000")
    assert settings() is before
    with pytest.raises(ValidationError, match="frozen"):
        before.port = 9000  # type: ignore[misc]  # which must not work


@pytest.mark.parametrize("url", ["ftp://u:hush@host", "smtp://", "host:25", "smtps:///path"])
def test_an_invalid_mail_server_is_refused_without_showing_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("TIDEGATE_SMTP_URL", url)
    with pytest.raises(ValidationError, match="TIDEGATE_SMTP_URL") as caught:
        Settings()
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("sender", ["", "The Shop", "a@b@c", "Shop <shop@example.com>\r\nBcc: eve@example.com"])
def test_the_sender_of_mails_must_be_an_address(monkeypatch: pytest.MonkeyPatch, sender: str) -> None:
    monkeypatch.setenv("TIDEGATE_MAIL_FROM", sender)
    with pytest.raises(ValidationError, match="TIDEGATE_MAIL_FROM"):
        Settings()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "shop.example"])
def test_development_is_for_the_local_machine(host: str) -> None:
    with pytest.raises(ValidationError, match="TIDEGATE_DEVELOPMENT_OPEN"):
        Settings(host=host)
    with pytest.raises(ValidationError, match="TIDEGATE_MODE=production"):
        Settings(host=host, jwt_secret=SecretStr("a secret of one's own, of 32 bytes"))
    assert Settings(host=host, development_open=True).host == host
    secret = SecretStr("a secret of one's own, of 32 bytes")
    assert Settings(host=host, mode="production", jwt_secret=secret).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_development_listens_on_loopback(host: str) -> None:
    assert Settings(host=host).host == host


@pytest.mark.parametrize(
    "secret",
    [
        DEVELOPMENT_SECRET,
        f" {DEVELOPMENT_SECRET}",
        f"{DEVELOPMENT_SECRET}\n",
        f"\ufeff{DEVELOPMENT_SECRET}\u00a0",
        f"{DEVELOPMENT_SECRET}{DEVELOPMENT_SECRET}",
        f"{DEVELOPMENT_SECRET}=======",
        f"{DEVELOPMENT_SECRET}\0\0\0",
        f"prod-{DEVELOPMENT_SECRET}-1",
        DEVELOPMENT_SECRET.upper(),
        DEVELOPMENT_SECRET.replace("-", " - "),
    ],
)
def test_production_refuses_the_development_secret_however_it_is_padded(secret: str) -> None:
    with pytest.raises(ValidationError, match="TIDEGATE_JWT_SECRET of its own"):
        Settings(mode="production", jwt_secret=SecretStr(secret))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("TIDEGATE_MAILBOX_MAX_COMAND", "not a setting; did you mean TIDEGATE_MAILBOX_MAX_COMMANDS?"),
        ("TIDEGATE_PORTT", "did you mean TIDEGATE_PORT?"),
        ("tidegate_worker_proceses", "did you mean TIDEGATE_WORKER_PROCESSES?"),
        ("TIDEGATE_QQQQ", "TIDEGATE_QQQQ is not a setting"),
    ],
)
def test_a_misspelt_setting_is_an_error_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(UnknownSettings, match=re.escape(said)):
        settings()


@pytest.mark.parametrize("name", ["TIDEGATE_TOKEN", "TIDEGATE_SERVICE_HOST", "TIDEGATE_PORT_8000_TCP", "tidegate_port"])
def test_variables_of_others_are_not_misspelt_settings(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "8000")
    settings()
