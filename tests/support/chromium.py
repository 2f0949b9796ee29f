"""A headless Chromium for tests that look at pages, driven over DevTools' protocol.

The protocol runs through a pair of pipes (`--remote-debugging-pipe`), as JSON that ends with a NUL:
no driver and no library are needed, only Debian's package `chromium`.

    with chromium.browser() as page:
        page.open(path.as_uri(), width=390, dark=True)
        assert page.run("document.title") == "..."
        page.screenshot(folder / "phone.png")
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
DESKTOP, PHONE = 1280, 390
"""Widths at which pages are looked at."""
TIMEOUT_S = 60.0
START = """
import os, sys
from fcntl import F_DUPFD, fcntl
pipes = [fcntl(int(number), F_DUPFD, 10) for number in sys.argv[1:3]]
for number, pipe in zip((3, 4), pipes):
    os.dup2(pipe, number)
os.execvp(sys.argv[3], sys.argv[3:])
"""
"""A program that gives Chromium its two pipes under the numbers 3 and 4, which it expects."""


@contextmanager
def browser():
    """A `Page` of a new Chromium, which is ended with the block; a skip where none is installed."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium: apt install chromium")
    commands, answers = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [
            program,
            "--headless=new",
            "--no-sandbox",  # CI is root
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={profile}",
            "--remote-debugging-pipe",
            "about:blank",
        ]
        process = subprocess.Popen(
            [sys.executable, "-c", START, str(commands[0]), str(answers[1]), *words],
            pass_fds=(commands[0], answers[1]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(commands[0])
        os.close(answers[1])
        try:
            yield Page(commands[1], answers[0])
        finally:
            os.close(commands[1])  # at whose end Chromium ends
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait(10)
            os.close(answers[0])


class Page:
    """A tab, with what its pages asked for and complained about.

    Attributes
    ----------
    requests : list of str
        The addresses that were asked for since `open`, the page's own first.
    complaints : list of str
        Errors and warnings on the console, exceptions, and what a policy refused.
    """

    def __init__(self, commands, answers):
        self.commands, self.answers = commands, answers
        self.requests, self.complaints = [], []
        self._last, self._rest, self._session = 0, b"", None
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in targets if one["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def open(self, address, width=DESKTOP, height=900, dark=False, touch=None):
        """Load an address in a window of that width; below 600 pixels it is a phone's screen."""
        phone = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone if touch is None else touch)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.requests, self.complaints = [], []
        answer = self.call("Page.navigate", url=address)
        assert "errorText" not in answer, (address, answer["errorText"])
        self.wait("document.readyState === 'complete'")
        self.settle()

    def settle(self):
        """Wait until what was asked for is drawn."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def run(self, code):
        """The value of JavaScript, awaited where it is a promise."""
        answer = self.call(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, code, seconds=TIMEOUT_S):
        """Wait until JavaScript is true."""
        end = monotonic() + seconds
        while not self.run(code):
            assert monotonic() < end, f"not within {seconds:g} s: {code}"
            sleep(0.05)

    def mouse(self, x, y, kind="mouseMoved", **more):
        """Move the mouse to a place of the window, or press it there."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)
        self.settle()

    def tap(self, x, y):
        """Touch a place of the window with a finger."""
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.settle()

    def screenshot(self, path, tallest=float("inf")):
        """Write the page to a PNG, also what lies below the window, down to so many pixels."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        height = min(size["height"], tallest)
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1}
        taken = self.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip
        )
        Path(path).write_bytes(base64.b64decode(taken["data"]))

    def overflow(self):
        """By how many pixels the page is wider than its window."""
        return self.run("document.documentElement.scrollWidth - innerWidth")

    def call(self, method, **parameters):
        """A command of the protocol, and its result; events that come meanwhile are noted."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        end = monotonic() + TIMEOUT_S
        while True:
            answer = self._next(end, method)
            if answer.get("id") == self._last:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._note(answer)

    def _next(self, end, method):
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self.answers], [], [], max(0.0, end - monotonic()))
            assert ready, f"Chromium does not answer {method}"
            piece = os.read(self.answers, 1 << 16)
            assert piece, f"Chromium has ended before it answered {method}"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, event):
        method, about = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(about["exceptionDetails"]))
        elif method == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            # Tests that look at the pixels of a canvas are told how to do so faster.
            if "willReadFrequently" not in about["entry"]["text"]:
                self.complaints.append(about["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning"):
            self.complaints.append(json.dumps(about["args"]))
