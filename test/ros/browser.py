"""A headless Chromium driven over its DevTools protocol, with nothing but the WebSocket library."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import time
from pathlib import Path

from websockets.sync.client import connect

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome"))), None
)
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # containers have no user namespaces
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--remote-debugging-port=0",
)
WAIT_S = 40.0  # a loaded machine takes its time; an idle one needs a second or two


class Browser:
    """One window with one page."""

    def __init__(self, folder: Path, width: int = 1180, height: int = 820) -> None:
        """Start; ``folder`` gets the profile, the window has the size of a tablet."""
        self._process = subprocess.Popen(
            [str(CHROMIUM), *FLAGS, f"--user-data-dir={folder}", f"--window-size={width},{height}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.complaints: list[str] = []
        self._number = 0
        self._left = contextlib.ExitStack()
        try:
            self._attach(folder / "DevToolsActivePort", width, height)
        except BaseException:
            self.close()
            raise

    def _attach(self, port_file: Path, width: int, height: int) -> None:
        _until(lambda: port_file.is_file() and len(port_file.read_text().splitlines()) == 2, "Chromium starts")
        port, path = port_file.read_text().splitlines()
        options = {"max_size": None, "compression": None, "open_timeout": WAIT_S, "ping_interval": None}
        self._socket = self._left.enter_context(connect(f"ws://127.0.0.1:{port}{path}", **options))
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def close(self) -> None:
        """End it."""
        self._left.close()
        self._process.terminate()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def call(self, method: str, **parameters: object) -> dict:
        """One DevTools command of the page."""
        return self._call(method, self._session, **parameters)

    def _call(self, method: str, session: str | None = None, **parameters: object) -> dict:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self._socket.send(json.dumps({**message, "sessionId": session} if session else message))
        while True:
            answer = json.loads(self._socket.recv(timeout=WAIT_S))
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(json.dumps(answer["params"]))
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def open(self, address: str) -> None:
        """Load a page."""
        self.call("Page.navigate", url=address)

    def value(self, expression: str) -> object:
        """Value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """Text of an element."""
        return str(self.value(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def tap(self, selector: str) -> None:
        """Press in the middle of an element, once it can be pressed, as a finger would."""
        script = f"""(() => {{
            const e = document.querySelector({json.dumps(selector)});
            if (!e || e.disabled || !e.getClientRects().length) return null;
            e.scrollIntoView({{ block: "center" }});
            const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;
            return e.contains(document.elementFromPoint(x, y)) ? [x, y] : null;
        }})()"""
        self.until(lambda: self.value(script) is not None, f"{selector} can be pressed")
        x, y = self.value(script)  # type: ignore[misc]
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, selector: str, text: str) -> None:
        """Replace the text of an input and press Enter."""
        self.value(f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.focus(); e.select(); }})()")
        self.call("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
            )

    def until(self, condition, what: str, timeout_s: float = WAIT_S) -> None:
        """Wait for a condition.

        Raises:
            AssertionError: it did not come; carries what the page complained about.
        """
        _until(condition, what, timeout_s, lambda: f"{self.text('body')[:3000]} {self.complaints[-5:]}")

    def screenshot(self, path: Path) -> None:
        """Save what is in the window as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


def _until(condition, what: str, timeout_s: float = WAIT_S, more=lambda: "") -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {timeout_s:.0f} s; {more()}"
        time.sleep(0.03)
