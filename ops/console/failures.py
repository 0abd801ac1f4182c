"""One-line explanations of failures that are not bugs, such as an unreachable server: what failed and where to look.
Anything else stays a traceback.
"""

import ssl

import asyncpg
import redis.exceptions
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from runtime.engine import is_unavailable
from runtime.server_versions import UnsupportedServer
from runtime.settings import UnknownSettings
from runtime.signing_keys import BadKeys


def explanation(error: BaseException) -> str | None:
    """One line for a failure that is not a bug; None for any other."""
    if isinstance(error, ValidationError) and error.title == "Settings":
        return "; ".join(_setting(problem["loc"], problem["msg"]) for problem in error.errors(include_url=False))
    if isinstance(error, BadKeys):
        return f"TIDEGATE_SIGNING_KEYS: {error}"
    if isinstance(error, redis.exceptions.RedisError):
        return f"Redis (REDIS_URL): {error}"
    if isinstance(error, (UnsupportedServer, UnknownSettings)):
        return str(error)
    if isinstance(error, ssl.SSLError) or "SSL upgrade" in str(error):  # asyncpg's error for a server without TLS
        return f"Postgres (DATABASE_URL) over TLS: {error}"
    if isinstance(error, asyncpg.exceptions.ClientConfigurationError):
        return f"Postgres (DATABASE_URL): {error}"
    if isinstance(error, OSError):
        # An error that names a file is for the command itself to report.
        return (
            None
            if error.filename is not None
            else f"{error}: start `tidegate up`, or set DATABASE_URL and REDIS_URL to running servers"
        )
    if is_unavailable(error) or isinstance(_cause(error), _REFUSED):
        return f"Postgres (DATABASE_URL): {_cause(error)}"
    return None


_REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)


def _cause(error: BaseException) -> BaseException:
    """The driver's error, without SQLAlchemy's wrapper."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


def _setting(place: tuple[int | str, ...], problem: str) -> str:
    problem = problem.removeprefix("Value error, ")
    return f"{'.'.join(map(str, place))}: {problem}" if place else problem
