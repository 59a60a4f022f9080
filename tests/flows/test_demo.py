"""`make demo`: how it looks, how it finds its key, what it says when something is wrong, and one run of all of it."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import requests
from django.core.management import call_command
from django.core.management.base import CommandError, OutputWrapper

from cueapi import clock
from cueapi.management.commands.demo import play, remove_cues
from cueapi.management.demo import scenes
from cueapi.management.demo.login import log_in
from cueapi.management.demo.problems import DemoError, Overdue
from cueapi.management.demo.receiver import Call, Receiver
from cueapi.management.demo.scenes import Stage
from cueapi.management.demo.screen import Row, Screen, Timeline, stamp_of, table
from cueapi.management.demo.server import Server
from cueapi.signing import signature
from tests.support.deadline import eventually
from tests.support.ports import free_port
from tests.support.processes import NAMES, ROOT, Installation, installation_environment
from tests.support.receiver import Answer, Received
from tests.support.receiver import Receiver as StandIn

SECRET = "whsec_" + "5" * 64
EXECUTION_ID = "7d0b6a0e-0f3c-4c36-9a0e-1f6c0f5d7a55"
NOW = datetime(2031, 5, 4, 9, tzinfo=UTC)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen_on(text: io.StringIO, *, colour: bool = False, terminal: bool = False) -> Screen:
    return Screen(OutputWrapper(text), colour=colour, terminal=terminal)


def execution(**fields: object) -> dict:
    answers = [500, 500, 200]
    return {
        "status": "success",
        "attempts": len(answers),
        "attempt_log": [{"http_status": answer, "error_stage": None} for answer in answers],
        "history": [{"reason": "its time came"}, {"reason": "attempt started"}, {"reason": "delivered"}],
    } | fields


# --- How it looks -------------------------------------------------------------------------------------------


def test_each_line_of_a_timeline_says_when_in_one_column() -> None:
    assert [stamp_of(since_s) for since_s in (0, 0.0621, 39.5, 100)] == [
        "  +0.000 s",
        "  +0.062 s",
        " +39.500 s",
        "+100.000 s",
    ]


def test_a_line_for_something_earlier_carries_the_earlier_time() -> None:
    text = io.StringIO()
    timeline = Timeline(screen_on(text))
    timeline.add("webhook attempt 1 → 200", at_s=timeline.began_s + 0.25)
    assert text.getvalue() == "  +0.250 s  webhook attempt 1 → 200\n"


def test_without_colour_nothing_but_text_is_written() -> None:
    text = io.StringIO()
    screen = screen_on(text)
    screen.heading("1/4", "A cue that runs now", "One webhook.")
    screen.verdict(True, "The API explains.")
    screen.summary([Row("A cue that runs now", True, 0.1, "success")])
    assert "\x1b" not in text.getvalue()
    assert "\r" not in text.getvalue()


def test_with_colour_a_bad_verdict_is_red() -> None:
    text = io.StringIO()
    screen_on(text, colour=True).verdict(False, "The API explains.")
    assert text.getvalue() == "          \x1b[31m✗\x1b[0m The API explains.\n"


def test_a_long_verdict_stays_within_a_hundred_columns() -> None:
    text = io.StringIO()
    screen_on(text).verdict(True, "word " * 50)
    lines = text.getvalue().splitlines()
    assert len(lines) == 3
    assert max(len(line) for line in lines) <= 100
    assert lines[1].startswith(" " * 12 + "word")


def test_the_summary_ends_with_a_count_in_words() -> None:
    text = io.StringIO()
    rows = [Row("One", True, 0.1, "success after 1 attempt"), Row("Two", False, None, "not played")]
    assert screen_on(text).summary(rows) is False
    assert text.getvalue().splitlines()[-1] == "1 of 2 scenes went as told."


def test_the_columns_of_the_summary_line_up() -> None:
    rows = [Row("A cue that runs now", True, 0.1, "success"), Row("Short", False, 39.7, "failed")]
    heading, *lines = table(rows)
    start = heading.index("What the API says")
    assert [line[start:] for line in lines] == ["success", "failed"]
    assert ["yes" in lines[0], "NO" in lines[1]] == [True, True]


def test_a_countdown_is_overwritten_on_a_terminal_and_ends_when_it_arrives() -> None:
    text = Terminal()
    screen = screen_on(text, terminal=True)
    timeline = Timeline(screen)
    screen.count_down(timeline.began_s + 33.5, lambda timeout_s: True, "the first run")
    seconds, blank = text.getvalue().strip("\r").replace("\r\r", "\r").split("\r")
    assert seconds.strip() == "34 s until the first run"
    assert blank.strip() == ""


def test_without_a_terminal_a_countdown_is_one_line() -> None:
    text = io.StringIO()
    screen = screen_on(text)
    polls = iter([False, False, True])
    screen.count_down(Timeline(screen).began_s + 60, lambda timeout_s: next(polls), "the first run")
    assert text.getvalue() == "            waiting for the first run\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "now"), (1, "in 1 second"), (34.4, "in 34 seconds"), (59.9, "in a minute"), (7200, "in 120 minutes")],
)
def test_a_wait_is_told_in_words(seconds: float, words: str) -> None:
    assert scenes.in_words(seconds) == words


def test_the_verdict_tells_the_attempts_and_the_last_step() -> None:
    assert scenes.verdict_on(execution()) == (
        "The API explains: success after 3 attempts, answered 500, 500 and 200; "
        "of 3 steps on record the last is “delivered”."
    )


def test_an_attempt_that_got_no_answer_is_told_by_its_stage() -> None:
    attempts = [{"http_status": None, "error_stage": "connect"}]
    assert scenes.answers_in(execution(attempt_log=attempts)) == ["connect"]


# --- The receiver -------------------------------------------------------------------------------------------


@pytest.fixture
def hooks() -> Iterator[Receiver]:
    with Receiver(SECRET) as receiver:
        yield receiver


def deliver(url: str, *, secret: str = SECRET, sent_at: datetime | None = None, due_at: datetime = NOW) -> int:
    """A webhook as our server sends it; the status of the answer."""
    body = json.dumps({"event": "cue.failed"}).encode()
    timestamp = str(int((sent_at or clock.now()).timestamp()))
    headers = {
        "X-CueAPI-Signature": signature(secret, timestamp, body),
        "X-CueAPI-Timestamp": timestamp,
        "X-CueAPI-Attempt": "1",
        "X-CueAPI-Execution-Id": EXECUTION_ID,
        "X-CueAPI-Scheduled-For": due_at.isoformat(),
    }
    return requests.post(url, body, headers=headers, timeout=5).status_code


def test_the_receiver_answers_as_the_scene_asked_and_repeats_the_last_answer(hooks: Receiver) -> None:
    hook = hooks.open("/retry", 500, 200)
    assert [deliver(hook.url) for _ in range(3)] == [500, 200, 200]
    assert [seen(hook.next_call(timeout_s=1)).status for _ in range(3)] == [500, 200, 200]


def seen(call: Call | None) -> Call:
    assert call is not None
    return call


def test_a_signature_is_valid_only_with_our_secret_and_while_it_is_fresh(hooks: Receiver) -> None:
    hook = hooks.open("/now", 200)
    deliver(hook.url)
    deliver(hook.url, secret="whsec_another")
    deliver(hook.url, sent_at=clock.now() - timedelta(minutes=6))
    calls = [seen(hook.next_call(timeout_s=1)) for _ in range(3)]
    assert [scenes.signature_of(call) for call in calls] == [
        "signature valid",
        "SIGNATURE NOT VALID",
        "SIGNATURE NOT VALID",
    ]


def test_a_call_without_any_of_our_headers_is_not_genuine(hooks: Receiver) -> None:
    hook = hooks.open("/now", 200)
    requests.post(hook.url, b"{}", timeout=5)
    assert seen(hook.next_call(timeout_s=1)).is_genuine is False


def test_lateness_is_measured_from_the_scheduled_instant() -> None:
    headers = {"x-cueapi-scheduled-for": NOW.isoformat()}
    call = Call(headers, b"{}", 200, True, NOW + timedelta(milliseconds=23), 0.0)
    assert call.late_ms == 23


# --- Finding a key ------------------------------------------------------------------------------------------


def refusal(status: int) -> Answer:
    return Answer(status, {"error": {"code": "some_code", "message": "Some message.", "status": status}})


def keep_key(var_dir: Path, key: str) -> None:
    (var_dir / "first-login.txt").write_text(f"EMAIL=you@localhost\nAPI_KEY={key}\nADMIN_PASSWORD=open sesame\n")


@pytest.fixture
def server(receiver: StandIn) -> Iterator[Server]:
    """Our client; `receiver` stands in for the server that it calls."""
    with Server(f"http://127.0.0.1:{receiver.port}") as client:
        yield client


def test_the_key_of_the_first_start_is_used(server: Server, receiver: StandIn, tmp_path: Path) -> None:
    receiver.will_answer(Answer(200, {}))
    keep_key(tmp_path, "cue_sk_kept")
    assert log_in(server, given_key="", var_dir=tmp_path) == "the API key in first-login.txt"
    assert receiver.received[0].headers["Authorization"] == "Bearer cue_sk_kept"


def test_an_account_is_made_when_the_kept_key_was_replaced(server: Server, receiver: StandIn, tmp_path: Path) -> None:
    receiver.will_answer(refusal(401), Answer(201, {"api_key": "cue_sk_new"}), Answer(200, {}))
    keep_key(tmp_path, "cue_sk_old")
    assert log_in(server, given_key="", var_dir=tmp_path).startswith("a new account, demo-")
    server.get("/v1/auth/me")
    assert [one.headers.get("Authorization") for one in receiver.received] == [
        "Bearer cue_sk_old",
        None,
        "Bearer cue_sk_new",
    ]


def test_a_server_that_is_not_ours_never_sees_the_kept_key(server: Server, receiver: StandIn) -> None:
    receiver.will_answer(Answer(201, {"api_key": "cue_sk_new"}))
    log_in(server, given_key="", var_dir=None)
    assert [one.path for one in receiver.received] == ["/v1/auth/register"]


def test_a_given_key_that_is_wrong_is_not_replaced_by_another(
    server: Server, receiver: StandIn, tmp_path: Path
) -> None:
    receiver.will_answer(refusal(401))
    with pytest.raises(DemoError, match="does not know the API key given"):
        log_in(server, given_key="cue_sk_wrong", var_dir=tmp_path)


def test_closed_registration_is_told_with_the_way_out(server: Server, receiver: StandIn, tmp_path: Path) -> None:
    receiver.will_answer(refusal(404))
    with pytest.raises(DemoError, match="registration is closed here"):
        log_in(server, given_key="", var_dir=tmp_path)


# --- When something is wrong --------------------------------------------------------------------------------


def test_a_server_that_does_not_answer_is_told_in_one_sentence() -> None:
    url = f"http://localhost:{free_port()}"
    with pytest.raises(CommandError, match=f"^No server answers at {url}. Start one with: make up$"):
        call_command("demo", url=url)


def test_before_the_first_start_there_is_the_same_sentence_and_no_traceback(tmp_path: Path) -> None:
    show = subprocess.run(
        [sys.executable, "manage.py", "demo"],
        cwd=ROOT,
        env=installation_environment(tmp_path / "var", free_port()),
        capture_output=True,
        text=True,
    )
    (line,) = show.stderr.splitlines()
    assert line.startswith("CommandError: No server answers at http://localhost:")
    assert show.returncode == 1


def test_another_program_at_the_address_is_told_apart(receiver: StandIn) -> None:
    receiver.default = Answer(200, "<h1>It works!</h1>")
    with pytest.raises(CommandError, match="is not CueAPI"):
        call_command("demo", url=f"http://127.0.0.1:{receiver.port}")


def test_scenes_after_a_stuck_one_are_left_out(server: Server, receiver: StandIn, hooks: Receiver) -> None:
    receiver.default = refusal(400)
    text = io.StringIO()
    rows = play(server, hooks, screen_on(text), tag="demo-1", waits=False)
    assert [row.result for row in rows] == ["got stuck", "not played", "not played", "not played"]
    assert "✗ POST /v1/cues was answered 400: Some message." in text.getvalue()


def test_a_webhook_that_never_comes_says_what_to_check(hooks: Receiver) -> None:
    hook = hooks.open("/now", 200)
    with pytest.raises(Overdue, match=r"^Nothing came within 0.05 s\. Is `make up` running, .* that the worker runs"):
        scenes.await_call(hook, "Nothing came", scenes.CHECK_WORKER, timeout_s=0.05)


def test_what_could_not_be_deleted_is_told_by_name(receiver: StandIn) -> None:
    with Server(f"http://127.0.0.1:{free_port()}") as gone:
        gone.cues_made.add("cue_4k2m9x0c7b1d")
        text = remove_cues(gone, "demo-3f9a")
        assert text.startswith("Not cleaned up: cues named demo-3f9a-… may be left. No server answers at ")
        assert gone.cues_made == {"cue_4k2m9x0c7b1d"}


# --- The recurring scene, with a server that is a moment before the minute ----------------------------------


class AlmostTheMinute:
    """Stands in for the server: the cron comes due `wait` after the cue is made. Answers as the API does."""

    def __init__(self, wait: timedelta, hooks: Receiver) -> None:
        self.wait = wait
        self.hooks = hooks
        self.threads: list[threading.Thread] = []
        self.deleted: list[str] = []

    def __call__(self, request: Received) -> Answer:
        if request.method == "POST":
            return self._made(clock.now())
        if request.method == "DELETE":
            self.deleted.append(request.path)
            return Answer(204)
        return Answer(200, execution(attempts=1, attempt_log=[{"http_status": 200, "error_stage": None}]))

    def _made(self, now: datetime) -> Answer:
        due_at = now + self.wait
        timer = threading.Timer(self.wait.total_seconds(), deliver, [self.hooks.hooks["/cron"].url], {"due_at": due_at})
        timer.start()
        self.threads.append(timer)
        cue = {"id": "cue_4k2m9x0c7b1d", "created_at": clock.rfc3339(now), "next_run": clock.rfc3339(due_at)}
        return Answer(201, cue)


def test_the_first_run_of_a_recurring_cue_is_shown_with_its_lateness(
    server: Server, receiver: StandIn, hooks: Receiver
) -> None:
    stand_in = AlmostTheMinute(timedelta(milliseconds=200), hooks)
    receiver.default = stand_in
    text = io.StringIO()
    ending = scenes.recur(Stage(server, hooks, Timeline(screen_on(text)), "demo-1", waits=True))
    stand_in.threads[0].join()
    assert ending.went_as_told
    assert "webhook attempt 1 → 200, signature valid, " in text.getvalue()
    assert ending.result.endswith(" ms late")
    assert stand_in.deleted == ["/v1/cues/cue_4k2m9x0c7b1d"]


@pytest.fixture
def ctrl_c_is_heard() -> Iterator[None]:
    """A shell that starts the tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_is_heard")
def test_ctrl_c_during_a_create_takes_effect_once_the_cue_is_known(server: Server, receiver: StandIn) -> None:
    def answer(request: Received) -> Answer:
        os.kill(os.getpid(), signal.SIGINT)
        return Answer(201, {"id": "cue_4k2m9x0c7b1d"})

    receiver.default = answer
    with pytest.raises(KeyboardInterrupt):
        server.create_cue({"name": "demo-1"})
    assert server.cues_made == {"cue_4k2m9x0c7b1d"}


# --- One run of all of it -----------------------------------------------------------------------------------


@pytest.mark.processes
def test_the_show_goes_as_told_and_leaves_no_cue_behind_even_when_it_is_stopped() -> None:
    with Installation() as it:
        for name in NAMES:
            it.start(name)
        text = it.manage("demo", "--no-wait", "--key", it.api_key)
        assert text.splitlines()[-1] == "4 of 4 scenes went as told."
        assert text.count("signature valid") == 7
        assert "webhook attempt 2 → 500 (as the scene asked), signature valid" in text
        assert "cue.failed arrives at on_failure.webhook → 200, signature valid" in text
        assert cues_left(it) == 0

        assert stop_after(it, "webhook attempt 1") == 130
        assert cues_left(it) == 0


def cues_left(it: Installation) -> int:
    headers = {"Authorization": f"Bearer {it.api_key}"}
    return int(requests.get(f"{it.base_url}/v1/cues", headers=headers, timeout=5).json()["total"])


def stop_after(it: Installation, words: str) -> int:
    """Start the show and press Ctrl-C once these words appear; its exit status.

    The last scene waits for a full minute, so that is kept at a distance: the show must not end by itself first.
    """
    eventually(lambda: clock.now().second < 40, within_s=25, what="a minute with time left")
    with subprocess.Popen(
        [sys.executable, "manage.py", "demo", "--key", it.api_key],
        cwd=ROOT,
        env=it.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # it may be ignored here
    ) as show:
        assert show.stdout
        eventually(lambda: words in show.stdout.readline(), what=f"“{words}”")
        show.send_signal(signal.SIGINT)
        show.stdout.read()
        return show.wait(timeout=15)
