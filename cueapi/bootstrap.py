"""Makes var/ and the secrets in it, once. `manage.py up` calls it before anything else.

Settings refuse to load without SECRET_KEY, so this module knows nothing of Django.
"""

import os
import secrets
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECRET_NAMES = ("SECRET_KEY", "SESSION_SECRET")


def var_dir() -> Path:
    """Where this installation keeps its data: VAR_DIR, or var/ beside manage.py."""
    return Path(os.environ.get("VAR_DIR", ROOT / "var")).resolve()


def make_secrets(folder: Path) -> None:
    """Make `folder` (mode 0700) and its secrets.env (mode 0600). What is there already stays as it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = folder / "secrets.env"
    if not target.exists():
        lines = [f"{name}={secrets.token_urlsafe(50)}\n" for name in SECRET_NAMES]
        _create(target, "".join(lines))


def _create(target: Path, text: str) -> None:
    """Write the file whole or not at all; the first of two racing writers wins."""
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    write_private(draft, text)
    try:
        os.link(draft, target)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can ever read, not even for a moment anyone else."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def lend_secrets() -> None:
    """Secrets for this process alone, for a command that keeps nothing: they let the settings load."""
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(50))


def main() -> None:
    folder = var_dir()
    try:
        make_secrets(folder)
    except OSError as error:
        raise SystemExit(f"Cannot write in {folder} ({error.strerror}). Make it writable, or set VAR_DIR.") from None
