"""One run from its first line to its findings: set up, disturb, wait, read, judge."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cueapi import clock
from cueapi.management.selftest import plan as plans
from cueapi.management.selftest import report, scratch
from cueapi.management.selftest.facts import Evidence, Life
from cueapi.management.selftest.judging import Findings, judge
from cueapi.management.selftest.killing import Killer
from cueapi.management.selftest.making import Maker
from cueapi.management.selftest.plan import Plan
from cueapi.management.selftest.problems import Unserved
from cueapi.management.selftest.receivers import Receivers
from cueapi.management.selftest.report import Screen
from cueapi.management.selftest.scratch import Scratch
from cueapi.management.selftest.server import Server

LOOK_S = 0.5
NEXT_WITHIN_S = 90.0  # to be final; longer than a dead sender, a lost message and a start of the worker take together
ALL_WITHIN_S = 900.0


@dataclass(frozen=True)
class Options:
    executions: int
    kills: int
    seed: int
    is_quick: bool


def run(it: Scratch, options: Options, screen: Screen) -> Findings:
    """The whole test on a scratch installation that is not started yet. Raises SelftestError and StartError."""
    scratch.start(it)
    server = Server.with_new_account(it.base_url)
    with Receivers(server.webhook_secret()) as receivers:
        plan = plans.draw(
            seed=options.seed,
            executions=options.executions,
            kills=options.kills,
            is_quick=options.is_quick,
            now=clock.now(),
        )
        with disturbed(it, server, plan, receivers) as (maker, killer):
            problems = watch(server, plan, receivers, maker, killer, screen)
        evidence = Evidence(
            planned=plan.executions,
            made=tuple(maker.made),
            refused=tuple(maker.refused),
            lives=read(server, screen),
            requests=tuple(receivers.requests),
            kills=tuple(killer.kills),
            strayed=receivers.strayed,
            problems=(*killer.problems, *problems),
        )
    return judge(evidence)


@contextmanager
def disturbed(it: Scratch, server: Server, plan: Plan, receivers: Receivers) -> Iterator[tuple[Maker, Killer]]:
    """Cues are made and processes are killed while entered; after it neither happens any more."""
    stopping = threading.Event()
    maker = Maker(server, plan, receivers.url, stopping)
    killer = Killer(it.processes, plan.strikes, stopping)
    started_s = time.monotonic()
    maker.start(started_s)
    killer.start(started_s)
    try:
        yield maker, killer
    finally:
        stopping.set()
        maker.finish()
        killer.finish()


def watch(server: Server, plan: Plan, receivers: Receivers, maker: Maker, killer: Killer, screen: Screen) -> list[str]:
    """Tell how it goes until everything is final, or nothing more becomes final. What could not be done."""
    started_s = moved_s = time.monotonic()
    most = 0
    while (now_s := time.monotonic()) < min(started_s + plan.span_s + ALL_WITHIN_S, moved_s + NEXT_WITHIN_S):
        ended = count_ended(server)
        screen.progress(now_s - started_s, told(plan, receivers, maker, killer, ended))
        is_disturbed = not (maker.is_done and killer.is_done)
        if not is_disturbed and ended >= maker.executions:
            break
        if is_disturbed or ended > most:
            most, moved_s = max(ended, most), now_s
        time.sleep(LOOK_S)
    screen.end_progress()
    return [] if killer.is_done else ["not all processes could be killed and started in time"]


def count_ended(server: Server) -> int:
    """-1 when the server did not answer: the next look may be luckier."""
    try:
        return server.count_ended()
    except Unserved:
        return -1


def told(plan: Plan, receivers: Receivers, maker: Maker, killer: Killer, ended: int) -> str:
    down = f" ({killer.victim} is down)" if killer.victim else ""
    return (
        f"{maker.executions} of {plan.executions} scheduled, {max(0, ended)} final, "
        f"{len(receivers.requests)} requests, {len(killer.kills)} of {len(plan.strikes)} kills{down}"
    )


def read(server: Server, screen: Screen) -> tuple[Life, ...]:
    """What the server tells of each execution; with four readers some seconds for each thousand."""
    screen.line("Reading what became of each execution …")
    started_s = time.monotonic()
    lives: list[Life] = []
    for life in server.lives():
        lives.append(life)
        screen.progress(time.monotonic() - started_s, f"{len(lives)} read")
    screen.end_progress()
    return tuple(lives)


def first_lines(it: Scratch, options: Options) -> list[str]:
    """What is about to happen, and that it is apart from everything of the user's."""
    return [
        "A test of this installation's code and configuration, in an installation of its own beside yours.",
        "Your data, your broker and your running processes are not touched.",
        f"  database  {it.database}",
        "  broker    a private Valkey, because it gets killed",
        f"  server    {it.base_url}, with a worker and beat, as the Procfile has them",
        f"  folder    {it.folder}, removed when the test is passed",
        f"{options.executions} executions, {options.kills} kills, --seed {options.seed}.",
        report.settings_told(it.shortened),
        "",
    ]
