"""What the environment may say, and what stands in for what it does not."""

from pathlib import Path

import pytest

from config import env


@pytest.mark.parametrize(
    ("given", "redis_url", "broker_url"),
    [
        ({"REDIS_URL": "redis://host:1/2"}, "redis://host:1/2", "redis://host:1/2"),
        ({"REDIS_URL": "valkey://host:1/2"}, "redis://host:1/2", "redis://host:1/2"),
        ({"REDIS_URL": "unix:///run/v.sock"}, "unix:///run/v.sock", "redis+socket:///run/v.sock"),
        ({"REDIS_URL": "redis://host", "BROKER_URL": "amqp://u:p@q//"}, "redis://host", "amqp://u:p@q//"),
        ({"REDIS_URL": "redis://host", "BROKER_URL": "valkey://q"}, "redis://host", "redis://q"),
    ],
)
def test_the_store_and_the_broker_may_be_named_in_several_ways(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], redis_url: str, broker_url: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    settings = env.load()

    assert (settings.redis_url, settings.broker_url) == (redis_url, broker_url)


@pytest.mark.parametrize(
    ("given", "checks"),
    [
        ("rediss://:secret@host", "rediss://:secret@host?ssl_cert_reqs=required"),
        ("valkeys://host/0?ssl_ca_certs=ca.pem", "rediss://host/0?ssl_ca_certs=ca.pem&ssl_cert_reqs=required"),
        ("rediss://host/0?ssl_cert_reqs=none", "rediss://host/0?ssl_cert_reqs=none"),
    ],
)
def test_the_certificate_of_the_broker_is_checked_unless_told(
    monkeypatch: pytest.MonkeyPatch, given: str, checks: str
) -> None:
    monkeypatch.setenv("REDIS_URL", given)

    assert env.load().broker_url == checks


def test_without_a_word_the_private_valkey_is_both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VAR_DIR", str(tmp_path))

    settings = env.load()

    assert settings.redis_url.startswith("unix://")
    assert settings.broker_url == settings.redis_url.replace("unix://", "redis+socket://")
