"""A server of `mpidbo report` in this process, and what it answers."""

import http.client
from contextlib import contextmanager
from threading import Thread

from mpidbo.reports import ReportServer


@contextmanager
def serving(*paths):
    """A server on a free port, and a function that asks it: (status, body)."""
    with ReportServer(paths, 0) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()

        def ask(address, **headers):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
            connection.request("GET", address, headers=headers)
            answer = connection.getresponse()
            body = answer.read().decode()
            connection.close()
            return answer.status, body

        try:
            yield server, ask
        finally:
            server.shutdown()
            thread.join(10)
