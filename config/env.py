"""Reads the environment, `.env` and the secrets that `manage.py up` wrote, and fills in the embedded defaults."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from cueapi.conf import Settings
from cueapi.embedded import broker_socket

ROOT_DIR: Path = Path(__file__).resolve().parent.parent


def load() -> Settings:
    """The settings of this process. Raises ImproperlyConfigured where a needed one is missing."""
    var_dir = Path(os.environ.get("VAR_DIR", ROOT_DIR / "var")).resolve()
    dotenv = Path(os.environ.get("DOTENV", ROOT_DIR / ".env"))  # DOTENV: another file instead, which need not exist
    settings = Settings(_env_file=(var_dir / "secrets.env", dotenv), var_dir=var_dir)  # type: ignore[call-arg]
    if not settings.secret_key:
        raise ImproperlyConfigured(
            "SECRET_KEY is not set. Run `make up` once, which makes one in var/secrets.env, or put your own "
            "in the environment: python3 -c 'import secrets; print(secrets.token_urlsafe(50))'"
        )
    return settings.model_copy(update=_embedded_defaults(settings))


def _embedded_defaults(settings: Settings) -> dict[str, str]:
    """SQLite and the private Valkey stand in for what the environment does not name."""
    redis_url = as_redis_url(settings.redis_url) or f"unix://{quote(str(broker_socket(settings.var_dir)))}"
    return {
        "database_url": settings.database_url or f"sqlite:///{settings.var_dir / 'db.sqlite3'}",
        "redis_url": redis_url,
        "broker_url": as_broker_url(as_redis_url(settings.broker_url) or redis_url),
    }


def as_redis_url(url: str) -> str:
    """Valkey speaks Redis, and the clients know it by that name."""
    for ours, theirs in (("valkey://", "redis://"), ("valkeys://", "rediss://")):
        if url.startswith(ours):
            return theirs + url.removeprefix(ours)
    return url


def as_broker_url(redis_url: str) -> str:
    """kombu spells a Redis socket `redis+socket://`, and believes any certificate unless told."""
    if redis_url.startswith("rediss://") and "ssl_cert_reqs=" not in redis_url:
        return f"{redis_url}{'&' if '?' in redis_url else '?'}ssl_cert_reqs=required"
    return redis_url.replace("unix://", "redis+socket://", 1)


def email_settings(url: str) -> dict[str, Any]:
    """Django's mail settings for `smtp://user:password@host:587?tls=true` (`ssl=true` for port 465)."""
    parts = urlsplit(url)
    if parts.scheme != "smtp" or not parts.hostname:
        raise ImproperlyConfigured("EMAIL_URL must look like smtp://user:password@mail.example.org:587?tls=true")
    query = parse_qs(parts.query)
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or 25,
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_TLS": query.get("tls") == ["true"],
        "EMAIL_USE_SSL": query.get("ssl") == ["true"],
        "EMAIL_TIMEOUT": 10,
    }
