"""Addresses as pages show them, without what may be a secret in them. Pure."""

import re
from urllib.parse import SplitResult, urlsplit

MASK = "•••"

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_LONG = r"(?=[0-9]*[A-Za-z])(?=[A-Za-z]*[0-9])[A-Za-z0-9]{16,}"  # of letters and digits mixed
_OPAQUE = re.compile(rf"{_UUID}|{_LONG}", re.IGNORECASE)


def masked_url(url: str) -> str:
    """The URL without user and password, the values of its query, and parts of its path that look drawn at random.

    Many receivers tell their callers apart by nothing but such a part of the address.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    path = "/".join(MASK if _OPAQUE.search(segment) else segment for segment in parts.path.split("/"))
    query = "&".join(map(_masked_pair, parts.query.split("&"))) if parts.query else ""
    return SplitResult(parts.scheme, _masked_host(parts.netloc), path, query, parts.fragment and MASK).geturl()


def _masked_host(netloc: str) -> str:
    credentials, at, host = netloc.rpartition("@")
    return f"{MASK}@{host}" if at and credentials else host


def _masked_pair(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name}={MASK}" if equals else MASK
