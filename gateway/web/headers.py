"""One header of a request, as the hot routes read them."""

from fastapi import Request


def header(request: Request, name: bytes) -> str | None:
    """The first value of the header with this name, which is in lower case; None if there is none.

    Starlette's own look-up encodes the name again each time, and raises and catches an error for each header that a
    request does not have. Accepting an order asks for six."""
    for known, value in request.scope["headers"]:
        if known == name:
            said: str = value.decode("latin-1")
            return said
    return None
