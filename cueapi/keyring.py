"""Keys derived from SECRET_KEY, one for each purpose, so that none of them can stand in for another.

An operator who changes SECRET_KEY lists the earlier ones in SECRET_KEY_FALLBACKS: what they sealed or signed stays
good for as long as they are listed.
"""

from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


def keys_for(purpose: str) -> tuple[bytes, ...]:
    """32 bytes for each secret key, the current one first. `purpose` names what they are for, and its version."""
    return tuple(_derive(secret, purpose) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=32)
def _derive(secret_key: str, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(secret_key.encode())
