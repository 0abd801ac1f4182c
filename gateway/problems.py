"""Errors as the client sees them: RFC 9457 problem details with a stable `code`.

Every code the API can answer stands in this file, with its status. Raise `Problem(code, detail)` anywhere; the
handlers below turn it, and what the framework or the database raises, into `application/problem+json`.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from runtime.database import LOST_CONNECTION, is_unavailable
from runtime.metrics import PROBLEMS

_log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 1

STATUS_OF_CODE: Final[Mapping[str, int]] = {
    # The request itself.
    "malformed_request": 400,
    "upgrade_not_supported": 400,
    "malformed_json": 400,
    "incomplete_body": 400,
    "invalid_idempotency_key": 400,
    "unauthenticated": 401,
    "invalid_token": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "invalid_request": 422,
    "idempotency_key_reused": 422,
    "head_too_large": 431,
    # What the rules say; the same codes stand in a rejected command's outcome.
    "order_not_found": 404,
    "insufficient_stock": 409,
    "order_state_conflict": 409,
    "stock_limit_exceeded": 409,
    "unknown_sku": 422,
    "mixed_currencies": 422,
    "order_total_exceeded": 422,
    # Not the client's fault.
    "command_failed": 500,
    "internal_error": 500,
    "mailbox_full": 503,
    "gateway_busy": 503,
    "mailboxes_unavailable": 503,
    "database_unavailable": 503,
}

TITLES: Final[Mapping[str, str]] = {
    code: code.replace("_", " ").capitalize().replace("json", "JSON").replace("sku", "SKU") for code in STATUS_OF_CODE
}


class Problem(Exception):
    """An answer that is an error. `extensions` become members of the problem; `headers` go with it."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        extensions: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.extensions = extensions or {}
        self.headers = headers or {}

    def response(self) -> Response:
        """The problem document."""
        status = STATUS_OF_CODE.get(self.code, 409)
        document = {
            "type": f"urn:tidegate:problem:{self.code}",
            "title": TITLES.get(self.code, self.code),
            "status": status,
            "detail": self.detail,
            "code": self.code,
        }
        headers = dict(self.headers)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
        # No extension takes the place of a member that RFC 9457 defines.
        return Response(msgspec.json.encode({**document, **self.extensions, **document}), status, headers, MEDIA_TYPE)


_CODE_OF_STATUS: Final = {404: "not_found", 405: "method_not_allowed"}


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _counted(error)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _counted(invalid_request(error.errors()))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODE_OF_STATUS.get(error.status_code, "invalid_request")
    return _counted(Problem(code, f"{request.method} {request.url.path}: {error.detail}", headers=error.headers))


async def _database(_: Request, error: Exception) -> Response:
    if not is_unavailable(error):
        raise error
    return _counted(Problem("database_unavailable", "The database cannot be reached; commands are still accepted."))


async def _unexpected(_: Request, error: Exception) -> Response:
    return _counted(Problem("internal_error", "Something went wrong here; it has been logged."))


def _counted(problem: Problem) -> Response:
    PROBLEMS.labels(problem.code).inc()
    return problem.response()


def invalid_request(errors: Any) -> Problem:
    """The problem of a request that does not fit its schema: where (JSON Pointer, RFC 6901) and why."""
    return Problem(
        "invalid_request",
        "The request does not fit its schema.",
        extensions={
            "errors": [
                {
                    "pointer": "/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in error["loc"]),
                    "detail": error["msg"],
                    "type": error["type"],
                }
                for error in errors
            ]
        },
    )


_HANDLERS: Final[dict[type[BaseException], Callable[[Request, Exception], Awaitable[Response]]]] = {
    Problem: _problem,
    RequestValidationError: _invalid,
    HTTPException: _http,
    SQLAlchemyError: _database,
    **dict.fromkeys(LOST_CONNECTION, _database),
    Exception: _unexpected,
}


def install(app: FastAPI) -> None:
    """Makes every error of the app a problem document."""
    for error, handler in _HANDLERS.items():
        assert issubclass(error, Exception)
        app.add_exception_handler(error, handler)


async def answer(request: Request, error: Exception) -> Response:
    """The problem document of an error that was raised outside of FastAPI's own handling."""
    handler = next(_HANDLERS[kind] for kind in type(error).__mro__ if kind in _HANDLERS)
    if handler is _unexpected or (handler is _database and not is_unavailable(error)):
        handler = _unexpected
        _log.exception("%s %s failed", request.method, request.url.path)
    return await handler(request, error)
