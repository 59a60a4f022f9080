"""The mark on deliveries to our own echo endpoint, by which the server knows that it sent them itself.

Such deliveries are not counted against the endpoint's limit. The mark is a MAC over the echo token with a key derived
from SECRET_KEY: no client can make one, and one that leaked would be good for that token alone.
"""

import hashlib
import hmac

from cueapi.keyring import keys_for

HEADER = "X-CueAPI-Origin"
PURPOSE = "cueapi echo origin v1"


def mark_for(path: str) -> str:
    """The mark for a delivery to this path, of which the last segment is the echo token."""
    return _mac(keys_for(PURPOSE)[0], _token_in(path))


def is_genuine(mark: str, path: str) -> bool:
    """Whether a process of this installation made the mark for this path."""
    genuine = [_mac(key, _token_in(path)) for key in keys_for(PURPOSE)]
    return any(hmac.compare_digest(own.encode(), mark.encode()) for own in genuine)


def _token_in(path: str) -> str:
    """A proxy may serve this server under a longer path; the last segment stays."""
    return path.partition("?")[0].rpartition("/")[2]


def _mac(key: bytes, token: str) -> str:
    return hmac.new(key, token.encode(), hashlib.sha256).hexdigest()
