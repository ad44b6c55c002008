"""Chromium without a window, and one page in it."""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from servers.process import ServerMissing

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)
SECONDS: Final = 60.0
"""How long an answer may take."""
_FIRST_FREE: Final = 10


class BrowserError(Exception):
    """The browser refused a command, or does not answer."""


class Chromium:
    """The browser's process. Close it."""

    def __init__(self, folder: Path) -> None:
        found = next((path for name in NAMES if (path := shutil.which(name))), None)
        if found is None:
            missing = "chromium"
            raise ServerMissing(missing)
        reads, self._commands = _pipe()
        self._answers, writes = _pipe()
        home = folder / "home"
        home.mkdir()
        arguments = (found, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--remote-debugging-pipe", "about:blank")
        told = os.open(folder / "chromium.log", os.O_CREAT | os.O_WRONLY)
        actions = [(os.POSIX_SPAWN_DUP2, told, 1), (os.POSIX_SPAWN_DUP2, told, 2)]
        actions += [(os.POSIX_SPAWN_DUP2, reads, 3), (os.POSIX_SPAWN_DUP2, writes, 4)]
        environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)}
        self._pid = os.posix_spawn(found, arguments, environment, file_actions=actions, setpgroup=0)
        for descriptor in (reads, writes, told):
            os.close(descriptor)
        self._unread = b""
        self._number = 0
        self.told: list[dict[str, Any]] = []
        """What the browser said unasked."""

    def ask(self, method: str, params: Mapping[str, object] | None = None, session: str | None = None) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params or {}}
        message |= {"sessionId": session} if session else {}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + SECONDS
        while True:
            answer = self._next(until)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(method, answer["error"])
                found: dict[str, Any] = answer["result"]
                return found
            self.told.append(answer)

    def wait_for(self, method: str) -> None:
        """Wait until the browser has said this."""
        until = time.monotonic() + SECONDS
        while not any(said.get("method") == method for said in self.told):
            self.told.append(self._next(until))

    def _next(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, until - time.monotonic()))
            read = os.read(self._answers, 1 << 20) if ready else b""
            if not read:
                problem = "it does not answer" if not ready else "it has ended"
                raise BrowserError(problem)
            self._unread += read
        message, _, self._unread = self._unread.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def close(self) -> None:
        """End the browser and all its processes."""
        with suppress(BrowserError, OSError):
            self.ask("Browser.close")
        os.close(self._commands)
        os.close(self._answers)
        until = time.monotonic() + 10
        while os.waitpid(self._pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > until:
                os.killpg(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
                return
            time.sleep(0.02)

    @contextmanager
    def page(self, file: Path, *, width: int, height: int = 900, dark: bool = False, scale: float = 1.0) -> Iterator["Page"]:
        """Open a file in a page of its own, and close that in the end."""
        target = self.ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = Page(self, session)
        try:
            page.open(file, width=width, height=height, dark=dark, scale=scale)
            yield page
        finally:
            self.ask("Target.closeTarget", {"targetId": target})


class Page:
    """One page."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser, self._session = browser, session

    def open(self, file: Path, *, width: int, height: int, dark: bool, scale: float) -> None:
        """Load a file, as a screen of this size and mood shows it."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
        self._ask("Emulation.setDeviceMetricsOverride", size)
        self.media("screen", dark=dark)
        self._browser.told.clear()
        self._ask("Page.navigate", {"url": file.resolve().as_uri()})
        self._browser.wait_for("Page.loadEventFired")

    def media(self, kind: str, *, dark: bool) -> None:
        """Show the page on a screen or on paper, light or dark."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._ask("Emulation.setEmulatedMedia", {"media": kind, "features": features})

    def run(self, script: str) -> Any:
        """Return what an expression comes to in the page."""
        params = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = self._ask("Runtime.evaluate", params)
        if "exceptionDetails" in answer:
            raise BrowserError(script, answer["exceptionDetails"])
        return answer["result"].get("value")

    def click(self, x: float, y: float) -> None:
        """Click there, with the mouse."""
        for kind in ("mousePressed", "mouseReleased"):
            where = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
            self._ask("Input.dispatchMouseEvent", where)

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key and let it go."""
        for kind in ("keyDown", "keyUp"):
            what = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
            self._ask("Input.dispatchKeyEvent", what | ({"text": text} if text and kind == "keyDown" else {}))

    @property
    def requests(self) -> list[str]:
        """What was asked of files and networks."""
        self.run("1")
        return [said["params"]["request"]["url"] for said in self._said("Network.requestWillBeSent")]

    @property
    def complaints(self) -> list[dict[str, Any]]:
        """What stands in the console."""
        self.run("1")
        return [
            said
            for method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
            for said in self._said(method)
        ]

    def picture(self, *, whole: bool = False) -> bytes:
        """Return what is seen, or the whole page, as PNG."""
        found = self._ask("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})
        return base64.b64decode(found["data"])

    def _said(self, method: str) -> list[dict[str, Any]]:
        return [said for said in self._browser.told if said.get("method") == method and said.get("sessionId") == self._session]

    def _ask(self, method: str, params: Mapping[str, object] | None = None) -> dict[str, Any]:
        return self._browser.ask(method, params, self._session)


def _pipe() -> tuple[int, int]:
    """Return a pipe whose ends do not take the numbers that the browser knows its pipes by."""
    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]
