"""The system user for a server that refuses to run as root, and its access to the files it needs.

In containers and CI there is often only root. The server then runs as `nobody`, which owns its data. Parent folders
that others cannot traverse get that right (o+x), but nothing more: they still cannot be listed.
"""

import logging
import os
import pwd
from pathlib import Path
from typing import Final

from ops.children import Account
from ops.embedded.server import ServerError

_UNPRIVILEGED: Final = "nobody"
_PASS: Final = 0o001
_READ: Final = 0o004

log = logging.getLogger(__name__)


def server_account() -> Account | None:
    """The account to run the server as; None, meaning our own, unless we are root."""
    if os.geteuid() != 0:
        return None
    try:
        user = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        raise ServerError(
            f"Postgres refuses to run as root, and there is no user {_UNPRIVILEGED} to run it as:"
            " run this as an unprivileged user, or set DATABASE_URL and REDIS_URL"
        ) from None
    return Account(user.pw_name, user.pw_uid, user.pw_gid)


def give(account: Account, path: Path) -> None:
    """Makes the account the owner of this file or folder only."""
    os.chown(path, account.uid, account.gid)


def open_way(account: Account, path: Path) -> None:
    """Lets the account traverse every parent of the path."""
    for parent in path.resolve().parents:
        status = parent.stat()
        if status.st_uid != account.uid and not status.st_mode & _PASS:
            log.warning("%s runs the server and must pass through %s: chmod o+x", account.name, parent)
            parent.chmod(status.st_mode & 0o7777 | _PASS)


def open_programs(account: Account, folder: Path) -> None:
    """Lets the account read and run installed programs, which a strict umask may have reserved to their owner."""
    open_way(account, folder)
    if folder.stat().st_mode & (_PASS | _READ) == _PASS | _READ:
        return
    log.warning("%s runs the server and must read %s: chmod -R o+rX", account.name, folder)
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode & 0o7777
            path.chmod(mode | _READ | (_PASS if path.is_dir() or mode & 0o100 else 0))
