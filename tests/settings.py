"""Settings of the test suite: a private var/, fast hashing, and never a default that touches real data."""

import os
import tempfile
from pathlib import Path

os.environ["VAR_DIR"] = os.environ.get("TEST_VAR_DIR") or tempfile.mkdtemp(prefix="cueapi-tests-")
os.environ["SECRET_KEY"] = "only-for-tests-only-for-tests-only-for-tests-00"
os.environ["DATABASE_URL"] = os.environ.get("TEST_DATABASE_URL", "")
for name in ("ENV", "BASE_URL", "REDIS_URL", "BROKER_URL", "EMAIL_URL"):
    os.environ.pop(name, None)

from config.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
VAR_DIR = Path(os.environ["VAR_DIR"])
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    DATABASES["default"]["TEST"] = {"NAME": str(VAR_DIR / "test.sqlite3")}  # noqa: F405  a file, as in production
WHITENOISE_AUTOREFRESH = True  # look for a file when asked: indexing them all would double the time of every API test
