"""Reads a header of a request, quickly enough for the hot routes."""

from fastapi import Request


def header(request: Request, name: bytes) -> str | None:
    """The first value of the header with this name (in lower case); None if there is none.

    Starlette's own look-up encodes the name each time, and raises and catches an error for each missing header.
    Accepting an order reads six."""
    for known, value in request.scope["headers"]:
        if known == name:
            said: str = value.decode("latin-1")
            return said
    return None
