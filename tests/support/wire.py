"""The API through raw WSGI, below Django's test client: headers and bodies arrive as a server gives them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from config.wsgi import application

Rewrite = Callable[[httpx.Request], None]


def wire(key: str | None = None, *rewrites: Rewrite) -> httpx.Client:
    """An httpx client of the application in this process. `rewrites` may change each request before it is sent."""
    return httpx.Client(
        transport=InThisProcess(app=application),
        base_url="http://testserver",
        headers={"Authorization": f"Bearer {key}"} if key else {},
        event_hooks={"request": list(rewrites)},
    )


class InThisProcess(httpx.WSGITransport):
    """Calls the application in the test's own transaction, so its database connection must outlive the request."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with _connections_kept():
            response = super().handle_request(request)
            content = response.read()
            response.close()
        return httpx.Response(response.status_code, headers=response.headers, content=content)


@contextmanager
def _connections_kept() -> Iterator[None]:
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in signals:
            signal.connect(close_old_connections)
