"""`tidegate keys rotate`: adds a new key that signs tokens from now on; the earlier keys still verify older tokens."""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import click
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from runtime.settings import settings
from runtime.signing_keys import EDDSA, RS256, BadKeys, read_jwks, read_keys, thumbprint

_RSA_BITS: Final = 3_072
_RSA_EXPONENT: Final = 65_537


@click.group(short_help="Manage the keys that sign tokens.")
def keys() -> None:
    """The keys that sign tokens (TIDEGATE_SIGNING_KEYS)."""


@keys.command()
@click.option(
    "--algorithm",
    type=click.Choice([EDDSA, RS256]),
    default=EDDSA,
    show_default=True,
    help="The algorithm of the new key.",
)
def rotate(algorithm: str) -> None:
    """Put a new key first in the file named by TIDEGATE_SIGNING_KEYS, which is created if it does not exist. Running
    gateways notice within a second: new tokens are signed with it, and older ones stay valid. A key replaced so long
    ago that no session begun with it can be left is removed.
    """
    config = settings()
    path = config.signing_keys
    if path is None:
        raise click.ClickException("set TIDEGATE_SIGNING_KEYS to the file that is to hold the keys")
    now = int(time.time())
    try:
        before = read_jwks(path) if path.exists() else []
        kept = _still_needed(before, now - config.session_seconds)
        made = new_jwk(algorithm, now)
        _write(path, [made, *kept])
        read_keys(path)
    except BadKeys as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"{made['kid']} signs from now on; {len(kept)} older keys still verify, {len(before) - len(kept)} removed."
    )


def new_jwk(algorithm: str, now: int) -> dict[str, Any]:
    """A new private key. `iat` (of OpenID Federation) is when it was made."""
    if algorithm == EDDSA:
        jwk = OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate(), as_dict=True)
    else:
        jwk = RSAAlgorithm.to_jwk(rsa.generate_private_key(_RSA_EXPONENT, _RSA_BITS), as_dict=True)
    jwk = {name: value for name, value in jwk.items() if name != "key_ops"}
    return {**jwk, "kid": thumbprint(jwk), "alg": algorithm, "use": "sig", "iat": now}


def _still_needed(jwks: list[dict[str, Any]], oldest_sign_in: int) -> list[dict[str, Any]]:
    """The keys that a valid token may be signed with: a key signed until the one before it in the file was made."""
    replaced_at = [None, *(jwk.get("iat") for jwk in jwks)]
    return [
        jwk
        for jwk, replaced in zip(jwks, replaced_at, strict=False)
        if not isinstance(replaced, int) or replaced >= oldest_sign_in
    ]


def _write(path: Path, jwks: list[dict[str, Any]]) -> None:
    """Replaces the file atomically, readable by its owner only."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump({"keys": jwks}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
