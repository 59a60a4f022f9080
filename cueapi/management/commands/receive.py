"""`manage.py receive`: a receiver for trying things out. It prints each webhook and checks its signature."""

import contextlib
import hmac
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections

from cueapi import clock
from cueapi.management import ports
from cueapi.management.banner import RECEIVER_PORT
from cueapi.models import Account
from cueapi.signing import signature

BODY_MAX_BYTES = 2_000_000


class Command(BaseCommand):
    help = "Wait for webhooks on this machine, print each one, and say whether its signature is valid."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", default=str(RECEIVER_PORT), help="1 to 65535")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            port = ports.parse_port(options["port"], usage="receive --port 9001")
            server = ThreadingHTTPServer(("127.0.0.1", port), Hook)
        except ports.PortError as problem:
            raise CommandError(str(problem)) from None
        except OSError as error:
            raise CommandError(
                f"Cannot listen on port {port} ({error.strerror}). Try: receive --port {port % 65535 + 1}"
            ) from None
        print(f"Waiting for webhooks at http://localhost:{server.server_port}/hook (Ctrl-C ends)", flush=True)
        with server:
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                print()


class Hook(BaseHTTPRequestHandler):
    """Answers every request with 200, so that its delivery counts as a success."""

    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds a kept-alive connection may stay silent

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_MAX_BYTES:
            self.send_error(413)
            return
        body = self.rfile.read(length)
        print(describe(self.command, self.path, dict(self.headers.items()), body, known_secrets()), flush=True)
        self._answer(b'{"received": true}')

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: `describe` says more."""


def known_secrets() -> list[str]:
    """WEBHOOK_SECRET when it is set, else those of the first accounts; read each time, as they may change."""
    if secret := os.environ.get("WEBHOOK_SECRET"):
        return [secret]
    try:
        accounts = Account.objects.order_by("created_at")[:20]
        return [secret for one in accounts for secret in (one.webhook_secret, one.alert_webhook_secret) if secret]
    except DatabaseError:
        return []
    finally:
        connections.close_all()


def describe(method: str, path: str, headers: dict[str, str], body: bytes, secrets: list[str]) -> str:
    """The webhook in a few readable lines."""
    by_name = {name.lower(): value for name, value in headers.items()}
    ours = [f"  {name}: {value}" for name, value in headers.items() if name.lower().startswith("x-cueapi-")]
    lines = [
        f"\n{clock.rfc3339(clock.now())}  {method} {path}",
        *ours,
        f"  {verdict(by_name, body, secrets)}",
    ]
    return "\n".join([*lines, _readable(body)])


def verdict(headers: dict[str, str], body: bytes, secrets: list[str]) -> str:
    """Whether one of `secrets` signed the body. `headers` by lower-case name."""
    given, timestamp = headers.get("x-cueapi-signature"), headers.get("x-cueapi-timestamp")
    if not given or not timestamp:
        return "not signed"
    if not secrets:
        return "signature not checked: no secret is known; set WEBHOOK_SECRET"
    if any(hmac.compare_digest(signature(secret, timestamp, body).encode(), given.encode()) for secret in secrets):
        return "signature valid"
    return "SIGNATURE NOT VALID"


def _readable(body: bytes) -> str:
    text = body.decode(errors="replace")
    with contextlib.suppress(ValueError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return "\n".join(f"  {line}" for line in text.splitlines())
