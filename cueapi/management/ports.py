"""Which port to serve on, and whether it is free."""

import socket


class PortError(Exception):
    """The port cannot be used; the message says what to do."""


def parse_port(text: str, *, usage: str = "make up PORT=8001") -> int:
    """The port number in `text`. Raises PortError, which shows the `usage` that would work."""
    if text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535:
        return int(text)
    raise PortError(f"PORT is {text!r}, which is no port. Use a number from 1 to 65535: {usage}")


def require_free(host: str, port: int) -> None:
    """Raises PortError when something listens there already, or when we may not."""
    # Not only our own address: a browser may take `localhost` for ::1, where another program answers.
    if _answers("localhost", port) or _answers(_reachable(host), port):
        raise _busy(port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise PortError(f"Port {port} needs root. Run: make up PORT=8000") from None
        except socket.gaierror:
            raise PortError(f"HOST is {host!r}, which is no address of this machine. Run: make up HOST=") from None
        except OSError as error:
            raise _bind_problem(host, port, error) from None


def local_address(host: str, port: int) -> tuple[str, int]:
    """Where this machine itself reaches a server that listens on `host`."""
    return _reachable(host), port


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _bind_problem(host: str, port: int, error: OSError) -> PortError:
    if error.strerror and "in use" in error.strerror:
        return _busy(port)
    return PortError(f"Cannot listen on {host} port {port}: {error.strerror}. Choose another HOST or PORT.")


def _busy(port: int) -> PortError:
    other = port + 1 if port < 65535 else port - 1
    return PortError(f"Port {port} is in use. Stop what uses it, or run: make up PORT={other}")
