"""Parses Postgres URLs, for the views' engine, the batches' pools, migrations, `verify` and the CLI alike.

asyncpg accepts the URL and most of libpq's parameters, but sends any other to the server as a run-time setting, so that
`connect_timeout` or a misspelt `sslmod` leads to a puzzling error, or to a connection without TLS. So only the
parameters named here are allowed. `ssl`, which other Python drivers accept, is read as `sslmode`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

SCHEMES: Final = ("postgresql", "postgres", "postgresql+asyncpg")

SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS, as far as asyncpg supports them; it
# passes the last two to the server, which supports them.
PARAMETERS: Final = frozenset(
    {
        "host",
        "port",
        "dbname",
        "database",
        "user",
        "password",
        "passfile",
        "service",
        "sslmode",
        "sslcert",
        "sslkey",
        "sslpassword",
        "sslrootcert",
        "sslcrl",
        "sslnegotiation",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
        "target_session_attrs",
        "krbsrvname",
        "gsslib",
        "application_name",
        "options",
    }
)

_FILES: Final = ("passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl")
_SYSTEMS_OWN: Final = "system"  # sslrootcert=system is not a file

_SSL: Final = "ssl"
_ENCRYPTED: Final = {"true": "require", "1": "require", "false": "disable", "0": "disable"}


class BadDatabaseUrl(ValueError):
    """The URL cannot be used; the message says why, and never contains the password."""


def read(database_url: str) -> tuple[str, dict[str, str]]:
    """The URL for asyncpg, and its parameters. Raises BadDatabaseUrl."""
    try:
        parts = urlsplit(database_url)
    except ValueError:
        raise BadDatabaseUrl("it is not a URL") from None
    if parts.scheme not in SCHEMES or not database_url.startswith(f"{parts.scheme}://"):
        raise BadDatabaseUrl("it must begin with postgresql://")
    if parts.fragment:
        raise BadDatabaseUrl("a # in the password must be written as %23")
    parameters: dict[str, str] = {}
    try:
        given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), max_num_fields=100)
    except ValueError:
        raise BadDatabaseUrl("what follows the ? must be name=value pairs separated by &") from None
    for name, value in given:
        known, meant = _parameter(name, value)
        if known in parameters:
            raise BadDatabaseUrl(f"it has {known} twice")
        parameters[known] = meant
    return _composed(parts.netloc, parts.path, parameters), parameters


def with_absolute_files(database_url: str) -> str:
    """The URL for a process with another working directory. Raises BadDatabaseUrl."""
    url, parameters = read(database_url)
    for name in _FILES:
        if parameters.get(name, _SYSTEMS_OWN) != _SYSTEMS_OWN:
            parameters[name] = str(Path(parameters[name]).absolute())
    parts = urlsplit(url)
    return _composed(parts.netloc, parts.path, parameters)


def _composed(host: str, path: str, parameters: Mapping[str, str]) -> str:
    query = f"?{urlencode(parameters)}" if parameters else ""
    return f"postgresql://{host}{path}{query}"


def _parameter(name: str, value: str) -> tuple[str, str]:
    if name == _SSL:
        name, value = "sslmode", _ENCRYPTED.get(value.lower(), value)
    if name not in PARAMETERS:
        near = difflib.get_close_matches(name, [*PARAMETERS, _SSL], n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; supported are {', '.join(sorted(PARAMETERS))}"
        raise BadDatabaseUrl(f"the parameter {name!r} is not supported{hint}")
    if name == "sslmode" and value not in SSL_MODES:
        raise BadDatabaseUrl(f"sslmode must be one of {', '.join(SSL_MODES)}, not {value!r}")
    return name, value
