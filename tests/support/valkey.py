"""A private Valkey for one test process: the very broker of an embedded installation, in its own var/."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from cueapi.embedded import broker_command, broker_redis_url

START_S = 10


@contextmanager
def running_valkey(var_dir: Path) -> Iterator[str]:
    """Run Valkey with its data in `var_dir`; yields its URL as redis-py spells it."""
    process = subprocess.Popen(broker_command(var_dir), stdout=subprocess.DEVNULL)
    try:
        url = broker_redis_url(var_dir)
        _wait_for_answer(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait_for_answer(url: str, process: subprocess.Popen) -> None:
    client = redis.Redis.from_url(url)
    deadline_s = time.monotonic() + START_S
    while not _answers(client):
        assert process.poll() is None, f"Valkey ended with status {process.returncode}"
        assert time.monotonic() < deadline_s, f"Valkey did not answer within {START_S} s"
        time.sleep(0.01)
    client.close()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
