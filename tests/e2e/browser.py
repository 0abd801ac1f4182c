"""A visitor to a page of ours, in a real browser. Whatever they do, the page must send requests to its own host only,
obey its content security policy, and log no warning or error that the test did not cause."""

import json
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Request, WebSocket, async_playwright

from tests import needs

_ARGUMENTS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

WIDE: Final = (1920, 1080)
PHONE: Final = (390, 844)
Scheme = Literal["light", "dark"]

SIGN_IN_REFUSED: Final = "status of 400"
NOBODY_THERE: Final = "net::ERR_CONNECTION_REFUSED"


class Chromium:
    """An async context manager: the browser. Without one, the test is skipped or fails, as `tests.needs` says."""

    def __init__(self) -> None:
        self._path = needs.program("browser", "chromium", "chromium-browser", "google-chrome")
        self._driver = async_playwright()
        self._browser: Browser

    async def __aenter__(self) -> Self:
        playwright = await self._driver.__aenter__()
        self._browser = await playwright.chromium.launch(executable_path=self._path, args=_ARGUMENTS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._browser.close()
        await self._driver.__aexit__(kind, error, traceback)

    def visitor(
        self, url: str, path: str = "/dashboard", *, size: tuple[int, int] = WIDE, scheme: Scheme = "light"
    ) -> "Visitor":
        return Visitor(self._browser, url, path, size, scheme)


class Visitor:
    """`async with chromium.visitor(url) as visitor:` has the page open, with reduced motion."""

    def __init__(self, browser: Browser, url: str, path: str, size: tuple[int, int], scheme: Scheme) -> None:
        self._browser = browser
        self._url = url
        self._path = path
        self._size = size
        self._scheme = scheme
        self._complaints: list[str] = []
        self._expected: set[str] = set()
        self._strangers: set[str] = set()
        self._hosts = {urlsplit(url).netloc}
        self.frames: list[dict[str, Any]] = []
        """All frames received over WebSockets, in order, whichever socket they came over."""
        self.sockets = 0
        self.page: Page

    async def __aenter__(self) -> Self:
        width, height = self._size
        context = await self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=self._scheme,
            reduced_motion="reduce",
            locale="en-GB",
        )
        self.page = await context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self._complaints.append(str(error)))
        self.page.on("request", self._check)
        self.page.on("websocket", self._listen)
        await self.page.goto(f"{self._url}{self._path}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.page.context.close()
        if error is None:
            assert not self._strangers, "the page sent requests to other hosts"
            unexpected = [said for said in self._complaints if not any(known in said for known in self._expected)]
            assert not unexpected

    def expects(self, complaint: str) -> None:
        """Expects this in the browser's console, because of what the test does."""
        self._expected.add(complaint)

    def may_go_to(self, url: str) -> None:
        """Expects requests to this host as well."""
        self._hosts.add(urlsplit(url).netloc)

    def at(self, element_id: str) -> Locator:
        """An element of the page by its id."""
        return self.page.locator(f"#{element_id}")

    def rows(self, list_id: str) -> Locator:
        """The rows of one of the page's lists."""
        return self.page.locator(f"#{list_id} tr")

    async def sign_in(self, email: str, password: str) -> None:
        await self.page.get_by_label("E-mail").fill(email)
        await self.page.get_by_label("Password").fill(password)
        await self.page.get_by_role("button", name="Sign in").click()

    def seqs(self) -> list[int]:
        """The seqs of all received events, in order of arrival."""
        return [event["seq"] for frame in self.frames if frame["type"] == "events" for event in frame["events"]]

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complaints.append(message.text)

    def _check(self, request: Request) -> None:
        if urlsplit(request.url).netloc not in self._hosts:
            self._strangers.add(request.url)

    def _listen(self, socket: WebSocket) -> None:
        self.sockets += 1
        if urlsplit(socket.url).netloc not in self._hosts:
            self._strangers.add(socket.url)
        socket.on("framereceived", lambda payload: self.frames.append(json.loads(payload)))
