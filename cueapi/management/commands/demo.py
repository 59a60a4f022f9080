"""`manage.py demo`: a short show of the real thing, played against a running server over its public API."""

import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cueapi.conf import conf
from cueapi.management.demo.login import log_in
from cueapi.management.demo.problems import DemoError
from cueapi.management.demo.receiver import Receiver
from cueapi.management.demo.scenes import SCENES, Ending, Scene, Stage
from cueapi.management.demo.screen import Row, Screen, Timeline
from cueapi.management.demo.server import Server

INTERRUPTED = 130  # what a shell calls the exit status after Ctrl-C


class Command(BaseCommand):
    help = (
        "Show the real thing in the terminal: a cue that runs, one that retries, one that escalates, one that recurs."
    )
    requires_system_checks = []  # it talks to a server and needs nothing here but the settings

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", default="", help="the server; without it BASE_URL, else localhost at PORT or 8000")
        parser.add_argument("--key", default="", help="an API key; without it CUEAPI_KEY, else that of the first start")
        parser.add_argument("--no-wait", action="store_true", help="do not wait for the recurring cue's first run")

    def handle(self, *args: Any, **options: Any) -> None:
        if os.environ.get("NO_COLOR"):
            self.stderr.style_func = None  # Django does not know of it
        try:
            with terminating_as_interrupting():
                all_told = self._show(options)
        except DemoError as problem:
            raise CommandError(str(problem)) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped.", returncode=INTERRUPTED) from None
        if not all_told:
            raise SystemExit(1)

    def _show(self, options: dict[str, Any]) -> bool:
        """Whether all scenes went as told."""
        screen = self._screen(options)
        with ExitStack() as stack:
            server = stack.enter_context(Server(options["url"] or own_url()))
            server.require_answer()
            key = options["key"] or os.environ.get("CUEAPI_KEY", "")
            login = log_in(server, given_key=key, var_dir=None if options["url"] else conf().var_dir)
            secret = server.get("/v1/auth/webhook-secret")["webhook_secret"]
            receiver = stack.enter_context(Receiver(secret))
            screen.line(f"CueAPI at {server.base_url}, with {login}.")
            screen.line(f"Its webhooks come to the demo's own receiver at {receiver.url}.")
            tag = stack.enter_context(removing_cues(server, screen))
            rows = play(server, receiver, screen, tag=tag, waits=not options["no_wait"])
        return screen.summary(rows) and not server.cues_made

    def _screen(self, options: dict[str, Any]) -> Screen:
        terminal = self.stdout.isatty()
        colour = terminal and not os.environ.get("NO_COLOR") and not options.get("no_color")
        return Screen(self.stdout, colour=colour or bool(options.get("force_color")), terminal=terminal)


def own_url() -> str:
    """Where `make up` serves: BASE_URL, else this machine at PORT."""
    it = conf()
    port = os.environ.get("PORT")
    return f"http://localhost:{port}" if port and "base_url" not in it.model_fields_set else it.base_url


@contextmanager
def removing_cues(server: Server, screen: Screen) -> Iterator[str]:
    """A tag for the names of cues. On the way out, also after Ctrl-C, every cue so named is deleted."""
    tag = f"demo-{secrets.token_hex(3)}"
    try:
        yield tag
    finally:
        told = remove_cues(server, tag)  # before anything is printed: whoever reads may have gone away
        screen.line()
        screen.line(told)


def remove_cues(server: Server, tag: str) -> str:
    """Delete what is left of the demo; what came of it, in words."""
    try:
        # By name, too: after Ctrl-C a cue may exist whose id we never read.
        left = server.cues_made.union(server.cues_named(tag))
        for cue_id in left:
            server.delete_cue(cue_id)
    except DemoError as problem:
        return f"Not cleaned up: cues named {tag}-… may be left. {problem}"
    return f"Cleaned up: {len(left)} remaining cue{'' if len(left) == 1 else 's'} deleted."


@contextmanager
def terminating_as_interrupting() -> Iterator[None]:
    """SIGTERM acts as Ctrl-C does, so that it cleans up as well."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def play(server: Server, receiver: Receiver, screen: Screen, *, tag: str, waits: bool) -> list[Row]:
    """All scenes in turn. When one gets stuck, those after it are left out: they would get stuck as well."""
    rows: list[Row] = []
    for number, scene in enumerate(SCENES, start=1):
        screen.heading(f"{number}/{len(SCENES)}", scene.title, scene.promise)
        stage = Stage(server, receiver, Timeline(screen), tag, waits)
        ending, is_stuck = play_one(scene, stage)
        screen.verdict(ending.went_as_told, ending.verdict)
        rows.append(Row(scene.title, ending.went_as_told, stage.timeline.elapsed_s, ending.result))
        if is_stuck:
            return rows + [Row(left_out.title, False, None, "not played") for left_out in SCENES[number:]]
    return rows


def play_one(scene: Scene, stage: Stage) -> tuple[Ending, bool]:
    """How the scene ended, and whether it got stuck."""
    try:
        return scene.play(stage), False
    except DemoError as problem:
        return Ending(False, str(problem), "got stuck"), True
