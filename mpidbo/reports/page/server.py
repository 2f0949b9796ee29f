"""A page that is served on this machine, and shows what is new in the folders of its runs."""

import json
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ...errors import UserError
from ...storage import in_use, read_run
from .document import content, page

ADDRESS = "127.0.0.1"
POLL_MS = 2000
"""After how long a page asks for news, each time."""


class ReportServer(ThreadingHTTPServer):
    """A server of a page about runs, for this machine alone.

    Parameters
    ----------
    paths : sequence of Path
        The runs.
    port : int
        0: any that is free.

    Raises
    ------
    UserError
        Where the port cannot be had, or there is no run.
    """

    daemon_threads = True

    def __init__(self, paths: Sequence[Path], port: int) -> None:
        self.news = News(paths)
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise UserError(
                f"--serve: port {port} cannot be used ({error.strerror or error}); give another, "
                "or 0 for any that is free"
            ) from None

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{ADDRESS}:{self.server_port}/"


class News:
    """What there is to say about runs, read again only after their files have changed.

    Parameters
    ----------
    paths : sequence of Path

    Raises
    ------
    UserError
        Where there is no run, or a file is damaged or cannot be read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self._lock = Lock()
        self._seen = _stamp(paths)
        self._found = content([read_run(path) for path in paths])

    def page(self) -> str:
        """Return the page as it is now."""
        with self._lock:
            self._read()
            return page(self._found, poll_ms=POLL_MS)

    def since(self, version: str) -> dict[str, Any] | None:
        """Return what is new.

        Parameters
        ----------
        version : str
            Of what is known already.

        Returns
        -------
        dict or None
            The `content`, or an error where a run cannot be read now; None where nothing is new.
        """
        with self._lock:
            error = self._read()
            news = {"error": error, "version": error} if error else self._found
        return None if version == news["version"] else news

    def _read(self) -> str:
        """Read the runs again if their files have changed; the error where one cannot be read."""
        seen = _stamp(self.paths)
        if seen != self._seen:
            try:
                self._found = content([read_run(path) for path in self.paths])
            except UserError as error:
                return str(error)
            self._seen = seen
        return ""


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer

    def do_GET(self) -> None:
        # A page of another site could reach this server by a name of its own for 127.0.0.1.
        host = self.headers.get("Host", "").partition(":")[0]
        asked = urlsplit(self.path)
        if host not in (ADDRESS, "localhost"):
            self._answer(HTTPStatus.FORBIDDEN)
        elif asked.path == "/":
            self._answer(HTTPStatus.OK, "text/html", self.server.news.page())
        elif asked.path == "/data":
            known = parse_qs(asked.query).get("version", [""])[0]
            news = self.server.news.since(known)
            if news is None:
                self._answer(HTTPStatus.NO_CONTENT)
            else:
                self._answer(HTTPStatus.OK, "application/json", json.dumps(news))
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    def _answer(self, status: HTTPStatus, kind: str = "text/plain", text: str = "") -> None:
        body = text.encode()
        with suppress(ConnectionError):  # the page was closed
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: a page asks every two seconds."""


def _stamp(paths: Sequence[Path]) -> list[tuple[str, float, float]]:
    """Names, sizes and times of the files of runs, and whether they run: what news consist of."""
    found: list[tuple[str, float, float]] = []
    for path in paths:
        with suppress(OSError):
            inside = sorted(path.iterdir()) if path.is_dir() else ()
            found.append((str(path), in_use(path), 0))
            for file in (path, *inside):
                with suppress(OSError):
                    about = file.stat()
                    found.append((str(file), about.st_size, about.st_mtime_ns))
    return found
