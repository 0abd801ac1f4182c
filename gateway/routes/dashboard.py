"""`/dashboard`: the live figures for staff, on the wall or on a phone. Files of ours, and nothing from elsewhere."""

from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from starlette.responses import Response

from gateway.server.middleware.security import lets_run
from gateway.web.files import Files

_FOLDER: Final = Path(__file__).parents[1] / "dashboard"
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def install(app: FastAPI) -> None:
    """Serves the page and its files. Browsers ask after both each time, so that an update is there at once."""
    files = Files(directory=_FOLDER, cache_control="no-cache")

    async def page(request: Request) -> Response:
        lets_run(request.scope, _POLICY)
        return await files.get_response("index.html", request.scope)

    app.add_api_route("/dashboard", page, include_in_schema=False)
    app.mount("/dashboard/assets", files)
