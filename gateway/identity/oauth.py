"""OAuth 2.0's formats (RFC 6749): the form that requests a token, the response with tokens, and errors, which are
ordinary problem documents with OAuth's members `error` and `error_description` added.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.web.problems import Problem
from gateway.web.requests import Body, read_body

FORM: Final = "application/x-www-form-urlencoded"
NO_STORE: Final = {"Cache-Control": "no-store"}

_PASSWORD_GRANT: Final = "password"  # noqa: S105 - the name of a way to ask
_FORM_MAX_FIELDS: Final = 20
_TEMPORARY_STATUS: Final = (429, 503)

_ERROR_OF_CODE: Final = {
    "invalid_grant": "invalid_grant",
    "invalid_refresh_token": "invalid_grant",
    "invalid_scope": "invalid_scope",
    "unsupported_grant_type": "unsupported_grant_type",
}


class TokenForm(Body):
    """A request for tokens; `username` is the e-mail address, `scope` narrows what the role allows, separated by
    spaces. Clients need not authenticate; client credentials are ignored."""

    model_config = ConfigDict(extra="ignore")

    grant_type: str = Field(examples=[_PASSWORD_GRANT])
    username: str = Field(examples=["customer@tidegate.example"])
    password: str = Field(examples=["correct horse battery staple"], json_schema_extra={"format": "password"})
    scope: str = Field("", examples=["orders:read orders:write"])


class TokensView(BaseModel):
    """Tokens of a session. `expires_in` is in seconds; `scope` is what was granted, separated by spaces. Without a
    `refresh_token`, the previous one stays valid."""

    access_token: str
    token_type: str = Field("bearer", examples=["bearer"])
    expires_in: int
    refresh_token: str | None = None
    scope: str

    def response(self) -> Response:
        """200, which only the client may store."""
        return Response(self.model_dump_json(exclude_none=True), 200, NO_STORE, "application/json")


async def read_form(request: Request, max_bytes: int) -> TokenForm:
    """The form of a token request. Raises 400, 413 and 415 Problems."""
    body = await read_body(request, max_bytes, FORM)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FORM_MAX_FIELDS, errors="strict")
        fields = dict(pairs)
        if len(fields) < len(pairs):
            raise Problem("malformed_request", "A form field is repeated.")
        form = TokenForm.model_validate(fields)
    except ValidationError as error:
        missing = ", ".join(str(problem["loc"][0]) for problem in error.errors())
        raise Problem("malformed_request", f"Missing form fields: {missing}.") from None
    except ValueError:
        raise Problem("malformed_request", "The body is not a form in UTF-8.") from None
    if form.grant_type != _PASSWORD_GRANT:
        raise Problem("unsupported_grant_type", f"The grant type must be `{_PASSWORD_GRANT}`.")
    return form


@asynccontextmanager
async def in_oauth_terms() -> AsyncIterator[None]:
    """Adds OAuth's own members (RFC 6749, 5.2) to problems."""
    try:
        yield
    except Problem as problem:
        default = "temporarily_unavailable" if problem.status in _TEMPORARY_STATUS else "invalid_request"
        error = _ERROR_OF_CODE.get(problem.code, default)
        raise Problem(
            problem.code,
            problem.detail,
            extensions={**problem.extensions, "error": error, "error_description": problem.detail},
            headers={**problem.headers, **NO_STORE},
        ) from None
