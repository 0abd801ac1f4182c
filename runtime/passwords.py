"""Hashes and checks passwords: Argon2id with pwdlib's parameters (64 MiB, 3 passes: some 50 ms of a core, on purpose).

Plain blocking functions: the gateway calls them in threads (`gateway/identity/hashing.py`), the CLI directly. They take
normalized passwords, see `domain.fields.people.normal_password`.
"""

from typing import Final

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

_ARGON2: Final = PasswordHash((Argon2Hasher(),))


def hash_password(password: str) -> str:
    """The hash, with its salt and parameters, as text."""
    return _ARGON2.hash(password)


def is_password(password: str, password_hash: str) -> bool:
    """Whether it is the password that was hashed."""
    return _ARGON2.verify(password, password_hash)
