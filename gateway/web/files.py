"""Our static files for browsers, with ETags, cache lifetimes, and 304."""

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope


class Files(StaticFiles):
    """Starlette's static files, with a Cache-Control of our choice."""

    def __init__(self, *, cache_control: str, **where: object) -> None:
        super().__init__(**where)  # type: ignore[arg-type]  # passed on as they are
        self._cache_control = cache_control

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = self._cache_control
        return response
