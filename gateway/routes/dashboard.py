"""`/dashboard`: the live figures for staff, on the wall or on a phone. Files of ours, and nothing from elsewhere."""

from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from gateway.middleware.security import lets_run

_FOLDER: Final = Path(__file__).parents[1] / "dashboard"
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def install(app: FastAPI) -> None:
    """Serves the page and its files. Browsers ask after both each time, so that an update is there at once."""
    app.add_api_route("/dashboard", _page, include_in_schema=False)
    app.mount("/dashboard/assets", StaticFiles(directory=_FOLDER))


async def _page(request: Request) -> Response:
    lets_run(request.scope, _POLICY)
    return FileResponse(_FOLDER / "index.html", headers={"Cache-Control": "no-cache"})
