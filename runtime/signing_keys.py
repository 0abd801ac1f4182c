"""The keys that sign tokens: one shared secret (HS256) in development, otherwise key pairs from a file, which can be
rotated.

The file is a private JWK Set (RFC 7517): the first key signs, all of them verify, and each names its algorithm, EdDSA
(Ed25519, RFC 8037) or RS256. A token names its key by `kid`; the algorithm is always the key's, never the token's.
Running processes notice changes of the file.
"""

import base64
import hashlib
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from runtime.settings import Settings

HS256: Final = "HS256"
EDDSA: Final = "EdDSA"
RS256: Final = "RS256"

_LOOK_SECONDS: Final = 1.0
_RSA_MIN_BITS: Final = 2_048

# The members that make up a key's thumbprint, by key type (RFC 7638, RFC 8037).
_THUMBPRINT_OF: Final = {"OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}

_log = logging.getLogger(__name__)


class Key(NamedTuple):
    """A key that signs and verifies. `public` is its public part as a JWK; a shared secret has neither that nor a
    `kid`."""

    kid: str | None
    algorithm: str
    signs: Any
    verifies: Any
    public: dict[str, Any] | None


class BadKeys(Exception):
    """The key file cannot be read, or its keys cannot be used."""


class KeyRing:
    """The keys of this installation, of which the first signs. With a `path`, they are read again whenever that file
    changes; if the new ones cannot be used, the old ones stay."""

    def __init__(self, keys: Sequence[Key], path: Path | None = None, *, development: bool = False) -> None:
        """In `development`, tokens are marked as such, and production rejects them even if it has the same keys."""
        self.development = development
        self._keys = {key.kid: key for key in keys}
        self._signer = keys[0]
        self._path = path
        self._stamp = None if path is None else _stamp(path)
        self._look_at = 0.0
        self.version = 0
        """Increases when the keys change, since a token that was valid before may no longer be."""

    @classmethod
    def shared(cls, secret: str, *, development: bool = False) -> "KeyRing":
        """A key ring with one shared secret."""
        return cls([Key(None, HS256, secret, secret, None)], development=development)

    @classmethod
    def from_file(cls, path: Path, *, development: bool = False) -> "KeyRing":
        """A key ring with the keys of a private JWK Set. Raises BadKeys."""
        return cls(read_keys(path), path, development=development)

    @property
    def signer(self) -> Key:
        """The key that currently signs."""
        self.look()
        return self._signer

    def find(self, kid: str | None) -> Key | None:
        """The key that a token names, or None. Checks the file first, since keys may have been added or removed."""
        self.look()
        if kid not in self._keys:
            self._read_if_changed()
        return self._keys.get(kid)

    def public(self) -> dict[str, Any]:
        """The public JWK Set, with which anyone can verify our tokens."""
        self.look()
        return {"keys": [key.public for key in self._keys.values() if key.public is not None]}

    def look(self) -> None:
        """Checks for a changed file, at most once in a while."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_SECONDS
            self._read_if_changed()

    def _read_if_changed(self) -> None:
        if self._path is None:
            return
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            keys = read_keys(self._path)
        except (OSError, BadKeys) as error:
            _log.error("keeping the current signing keys: %s", error)
            return
        self._keys = {key.kid: key for key in keys}
        self._signer = keys[0]
        self.version += 1
        _log.info("read %d signing keys; %s signs", len(keys), keys[0].kid)


def key_ring(config: Settings) -> KeyRing:
    """The keys that the settings name. Raises BadKeys."""
    development = config.mode == "development"
    if config.signing_keys is not None:
        return KeyRing.from_file(config.signing_keys, development=development)
    return KeyRing.shared(config.jwt_secret.get_secret_value(), development=development)


def read_jwks(path: Path) -> list[dict[str, Any]]:
    """The JWKs of a file, not interpreted. Raises BadKeys."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise BadKeys(f"{path}: {error.strerror}") from None
    except ValueError:
        raise BadKeys(f"{path} is not valid JSON") from None
    jwks = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(jwks, list) or not jwks or not all(isinstance(jwk, dict) for jwk in jwks):
        raise BadKeys(f"{path} is not a JWK Set with at least one key")
    return jwks


def read_keys(path: Path) -> list[Key]:
    """The keys of a file, the first of which signs. Raises BadKeys."""
    keys = [_key(jwk, path) for jwk in read_jwks(path)]
    if len({key.kid for key in keys}) < len(keys):
        raise BadKeys(f"{path} has two keys with the same `kid`")
    return keys


def thumbprint(jwk: dict[str, Any]) -> str:
    """The default `kid` of a key: the SHA-256 of its public members (RFC 7638)."""
    said = json.dumps({name: jwk[name] for name in _THUMBPRINT_OF[jwk["kty"]]}, separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(hashlib.sha256(said.encode()).digest()).decode().rstrip("=")


def _key(jwk: dict[str, Any], path: Path) -> Key:
    try:
        read = jwt.PyJWK.from_dict(jwk)
        private = read.key
        if isinstance(private, Ed25519PrivateKey):
            algorithm = EDDSA
        elif isinstance(private, RSAPrivateKey):
            algorithm = RS256
            if private.key_size < _RSA_MIN_BITS:
                raise BadKeys(f"{path}: an RSA key must have at least {_RSA_MIN_BITS} bits")
        else:
            raise BadKeys(f"{path}: keys must be private keys, Ed25519 or RSA")
        kid = jwk.get("kid") or thumbprint(jwk)
        if jwk.get("alg", algorithm) != algorithm or not isinstance(kid, str):
            raise BadKeys(f"{path}: the key {kid!r} cannot be used with {jwk.get('alg')}")
        public = read.Algorithm.to_jwk(private.public_key(), as_dict=True)
    except (jwt.PyJWTError, NotImplementedError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadKeys(f"{path}: {error or type(error).__name__}") from None
    public = {name: value for name, value in public.items() if name != "key_ops"}
    return Key(kid, algorithm, private, private.public_key(), {**public, "kid": kid, "alg": algorithm, "use": "sig"})


def _stamp(path: Path) -> tuple[int, int, int]:
    """Changes whenever the file does: a replaced file has another inode, even within the same clock tick."""
    status = path.stat()
    return status.st_mtime_ns, status.st_ino, status.st_size
