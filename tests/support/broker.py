"""A broker that does not answer, for as long as a test wants it."""

from collections.abc import Iterator
from contextlib import contextmanager

from celery import current_app


@contextmanager
def broker_down() -> Iterator[None]:
    """Whatever is published in here meets a socket that nobody listens on."""
    app = current_app._get_current_object()
    before = app.conf.broker_write_url
    _publish_to("redis+socket:///nowhere/valkey.sock")
    try:
        yield
    finally:
        _publish_to(before)


def _publish_to(url: str) -> None:
    app = current_app._get_current_object()
    app.conf.broker_write_url = url
    app._pool = app.amqp._producer_pool = None  # else the open connections go on
