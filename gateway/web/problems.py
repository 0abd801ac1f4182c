"""Errors as the client sees them: RFC 9457 problem details with a stable `code`.

Every code of the API is listed here with its status. Raise `Problem(code, detail)` anywhere; the handlers below turn
it, and what the framework or the database raises, into `application/problem+json`.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from itertools import islice
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from gateway.web.surface import methods_of
from gateway.web.wording import unfit
from runtime.database import LOST_CONNECTION
from runtime.engine import is_unavailable
from runtime.metrics import PROBLEMS

_log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 1

ERRORS_MAX: Final = 100
"""Errors listed for one request, the first ones. Without a bound, the answer to a body full of mistakes would be ten
times its size."""

STATUS_OF_CODE: Final[Mapping[str, int]] = {
    # The request itself.
    "malformed_request": 400,
    "invalid_host": 400,
    "upgrade_not_supported": 400,
    "malformed_json": 400,
    "incomplete_body": 400,
    "invalid_idempotency_key": 400,
    "unauthenticated": 401,
    "invalid_token": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "invalid_request": 422,
    "idempotency_key_reused": 422,
    "too_many_attempts": 429,
    "too_many_requests": 429,
    "query_too_long": 414,
    "head_too_large": 431,
    # Signing in; OAuth's own words are in the problem's member `error`.
    "invalid_grant": 400,
    "invalid_scope": 400,
    "unsupported_grant_type": 400,
    "invalid_link": 422,
    "invalid_refresh_token": 401,
    "wrong_password": 403,
    "no_session": 409,
    # What the rules say; the same codes stand in a rejected command's outcome.
    "session_closed": 401,
    "account_not_found": 404,
    "account_changed": 409,
    "account_state_conflict": 409,
    "email_taken": 409,
    "own_account": 409,
    "api_key_not_found": 404,
    "api_key_revoked": 409,
    "invoice_not_found": 404,
    "order_not_found": 404,
    "terms_not_found": 404,
    "customer_not_found": 404,
    "price_list_not_found": 404,
    "too_many_prices": 409,
    "promotion_not_found": 404,
    "code_not_found": 404,
    "too_many_lines": 409,
    "too_many_terms": 409,
    "checkout_not_found": 404,
    "checkout_not_open": 409,
    "checkout_changed": 409,
    "checkout_incomplete": 422,
    "gift_card_not_found": 404,
    "gift_card_not_mailable": 409,
    "gift_card_not_usable": 422,
    "store_credit_too_low": 409,
    "store_credit_too_high": 409,
    "payment_not_found": 404,
    "payment_pending": 409,
    "payment_busy": 409,
    "payment_entries_exceeded": 409,
    "nothing_to_invoice": 409,
    "nothing_to_report": 409,
    "order_paid": 409,
    "too_many_payments": 409,
    "capture_exceeds_authorized": 409,
    "refund_exceeds_charged": 409,
    "refund_exceeds_paid": 409,
    "manual_capture_unsupported": 409,
    "partial_capture_unsupported": 409,
    "multi_capture_unsupported": 409,
    "partial_refund_unsupported": 409,
    "nothing_to_void": 409,
    "nothing_pending": 409,
    "provider_reports": 409,
    "unknown_provider": 422,
    "webhook_invalid": 401,
    "product_not_found": 404,
    "variant_not_found": 404,
    "category_not_found": 404,
    "slug_taken": 409,
    "sku_taken": 409,
    "variant_kind_fixed": 409,
    "too_many_variants": 409,
    "too_many_attributes": 409,
    "too_many_categories": 409,
    "category_cycle": 409,
    "category_too_deep": 409,
    "version_conflict": 412,
    "seq_not_reached": 412,
    "unknown_category": 422,
    "insufficient_stock": 409,
    "not_on_sale": 409,
    "order_state_conflict": 409,
    "stock_limit_exceeded": 409,
    "unknown_sku": 422,
    "mixed_currencies": 422,
    "order_total_exceeded": 422,
    "webhook_not_found": 404,
    "too_many_webhooks": 409,
    "unknown_event_type": 422,
    "webhook_address_refused": 422,
    "job_not_found": 404,
    "job_finished": 409,
    "task_not_found": 404,
    "task_not_dead": 409,
    "report_not_ready": 409,
    "report_failed": 409,
    "result_expired": 410,
    "ahead_of_log": 410,
    "another_log": 410,
    "archived": 410,
    "too_many_jobs": 429,
    "upload_stalled": 408,
    "bad_header": 422,
    # Not the client's fault.
    "command_failed": 500,
    "internal_error": 500,
    "mailbox_full": 503,
    "overloaded": 503,
    "gateway_busy": 503,
    "too_many_connections": 503,
    "uploads_busy": 503,
    "exports_busy": 503,
    "mailboxes_unavailable": 503,
    "database_unavailable": 503,
    "undecided": 503,
}

TITLES: Final[Mapping[str, str]] = {
    code: code.replace("_", " ").capitalize().replace("json", "JSON").replace("sku", "SKU") for code in STATUS_OF_CODE
}


PROBLEMS.allow(code=STATUS_OF_CODE)


class Problem(Exception):
    """An answer that is an error. `extensions` become members of the problem document; `headers` go with it. Raises
    KeyError for a code that is not in STATUS_OF_CODE."""

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
        self.status = STATUS_OF_CODE[code]
        self.detail = detail
        self.extensions = extensions or {}
        self.headers = headers or {}

    def document(self) -> dict[str, Any]:
        """The problem as RFC 9457 has it."""
        members = {
            "type": f"urn:tidegate:problem:{self.code}",
            "title": TITLES[self.code],
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        # No extension takes the place of a member that RFC 9457 defines.
        return {**members, **self.extensions, **members}

    def response(self) -> Response:
        """The response with the problem document."""
        headers = {"Cache-Control": "no-store", **self.headers}
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
        return Response(msgspec.json.encode(self.document()), self.status, headers, MEDIA_TYPE)


_CODE_OF_STATUS: Final = {404: "not_found", 405: "method_not_allowed"}


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _counted(error)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _counted(invalid_request(unfit(error.errors())))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODE_OF_STATUS.get(error.status_code, "invalid_request")
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (methods := methods_of(request.app, request.scope)):
        headers["Allow"] = ", ".join(sorted(methods))
    return _counted(Problem(code, f"{request.method} {request.url.path}: {error.detail}", headers=headers))


async def _database(_: Request, error: Exception) -> Response:
    if not is_unavailable(error):
        raise error
    return _counted(Problem("database_unavailable", "The database is unavailable; commands are still accepted."))


async def _unexpected(_: Request, error: Exception) -> Response:
    return _counted(Problem("internal_error", "Something went wrong on our side; it has been logged."))


def _counted(problem: Problem) -> Response:
    PROBLEMS.labels(problem.code).inc()
    return problem.response()


def invalid_request(errors: Any) -> Problem:
    """The problem of a request that does not fit its schema: where (JSON Pointer, RFC 6901) and why."""
    return Problem(
        "invalid_request",
        "The request does not match its schema.",
        extensions={
            "errors": [
                {
                    "pointer": "/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in error["loc"]),
                    "detail": error["msg"],
                    "type": error["type"],
                }
                for error in islice(errors, ERRORS_MAX)
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
    """The response for an error that was raised outside FastAPI's own handling."""
    handler = next(_HANDLERS[kind] for kind in type(error).__mro__ if kind in _HANDLERS)
    if handler is _unexpected or (handler is _database and not is_unavailable(error)):
        handler = _unexpected
        _log.exception("%s %s failed", request.method, request.url.path)
    return await handler(request, error)
