"""Buyers: what they are counted by, where something is limited for each."""

from runtime.settings import Settings


def identity_key(config: Settings) -> bytes:
    """What addresses are hashed with, at most 64 bytes: nobody else can tell whose a hash is."""
    key = config.identity_key or config.jwt_secret
    return key.get_secret_value().encode()[:64]
