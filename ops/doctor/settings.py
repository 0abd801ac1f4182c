"""Settings that are valid, but may not be intended. Invalid ones have been rejected before."""

from collections.abc import Iterator

from ops.doctor.finding import Finding, ok, warning
from runtime.settings import Settings


def of_settings(config: Settings) -> Iterator[Finding]:
    if config.mode == "development":
        yield warning(
            "mode",
            "development: the signing secret and the demo passwords are public knowledge",
            "set TIDEGATE_MODE=production, and keys of your own, before anybody else can reach this",
        )
    else:
        yield ok("mode", "production")
        if config.smtp_url is None:
            yield warning("mail", "mails are written to a folder", "set TIDEGATE_SMTP_URL and TIDEGATE_MAIL_FROM")
        if config.stop_notice_seconds == 0:
            yield warning(
                "stop notice",
                "a stopping gateway stops listening at once, before load balancers have noticed",
                "set TIDEGATE_STOP_NOTICE_SECONDS to what their health check takes, unless clients connect directly",
            )
