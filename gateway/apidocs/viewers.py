"""`/api/docs` (Swagger UI) and `/api/redoc`, without internet: every byte comes from this gateway.

The two programs are files from the package `fastapi-offline`; the pages and the line that starts Swagger UI are ours.
The pages' content security policy allows scripts and connections only from and to this gateway, so they contain no
inline scripts.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

from gateway.server.middleware.security import lets_run
from gateway.web.files import Files

OPENAPI_PATH: Final = "/api/openapi.json"
_ASSETS_PATH: Final = "/api/docs/assets"
_CACHE_CONTROL: Final = "public, max-age=86400"

# Both programs put styles into the page, Swagger UI's style sheet holds its icons, and ReDoc searches in a worker.
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"font-src 'self' data:; connect-src 'self'; worker-src blob:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="{assets}/favicon.png">
{head}</head>
<body>
{body}
</body>
</html>
"""

_SWAGGER_UI: Final = _PAGE.format(
    title="Tidegate API",
    assets=_ASSETS_PATH,
    head=f'<link rel="stylesheet" href="{_ASSETS_PATH}/swagger-ui.css">\n',
    body=f'<div id="swagger-ui" data-openapi="{OPENAPI_PATH}"></div>\n'
    f'<script src="{_ASSETS_PATH}/swagger-ui-bundle.js"></script>\n'
    f'<script src="{_ASSETS_PATH}/docs.js"></script>',
)

_REDOC: Final = _PAGE.format(
    title="Tidegate API reference",
    assets=_ASSETS_PATH,
    head="",
    body=f'<redoc spec-url="{OPENAPI_PATH}"></redoc>\n<script src="{_ASSETS_PATH}/redoc.standalone.js"></script>',
)


def install(app: FastAPI) -> None:
    """Serves both pages and their assets."""
    app.add_api_route("/api/docs", _page(_SWAGGER_UI), include_in_schema=False)
    app.add_api_route("/api/redoc", _page(_REDOC), include_in_schema=False)
    ours = Path(__file__).parent / "assets"
    packages = [("fastapi_offline", "static")]
    app.mount(_ASSETS_PATH, Files(directory=ours, packages=packages, cache_control=_CACHE_CONTROL))


def _page(html: str) -> Callable[[Request], Awaitable[HTMLResponse]]:
    async def page(request: Request) -> HTMLResponse:
        lets_run(request.scope, _POLICY)
        return HTMLResponse(html)

    return page
