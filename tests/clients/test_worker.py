"""The published worker daemon against our server, whose leases last seconds here."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.clients.account import Account, follow, mailed_link, new_account
from tests.clients.daemon import PROGRAM, Daemon, waits_for
from tests.clients.home import Home
from tests.clients.server import Server, folder_of_run, shared_server
from tests.clients.venvs import programs_of
from tests.support.deadline import eventually

pytestmark = pytest.mark.processes

CHAIN = Path(__file__).parent / "drivers" / "chain.py"
LEASES = {"WORKER_CLAIM_TIMEOUT_SECONDS": "2", "WORKER_HEARTBEAT_TIMEOUT_SECONDS": "4"}


@pytest.fixture(scope="session")
def programs() -> Path:
    return programs_of("worker")


@pytest.fixture(scope="session")
def impatient_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes work back soon."""
    with shared_server(folder_of_run(tmp_path_factory), "impatient", LEASES) as shared:
        yield shared


@pytest.fixture
def account(impatient_server: Server) -> Account:
    return new_account(impatient_server)


@pytest.fixture
def home(programs: Path, tmp_path: Path) -> Home:
    return Home(tmp_path, programs)


@pytest.fixture
def gate(home: Home) -> Iterator[Path]:
    """A file that a handler waits for. It is there when the test is over, so that no handler outlives it for long."""
    path = home.folder / "gate"
    yield path
    path.touch()


def outcome_of(home: Home, account: Account, handler: Any, **fields: Any) -> Any:
    """The execution that a daemon with this one handler ran."""
    with Daemon(home, account, {"dig": handler}).started():
        return account.ended(account.fire(account.worker_cue("pull", "dig", **fields)))


def claimed(account: Account, execution_id: str, worker_id: str) -> Any:
    """The execution, once this worker holds it."""

    def look() -> Any:
        found = account.execution(execution_id)
        return found if found["claimed_by_worker"] == worker_id else None

    return eventually(look, within_s=20, what=f"a claim by {worker_id}")


# --- Handlers ---------------------------------------------------------------------------------------------------------


def test_a_handler_is_told_what_it_runs_and_its_output_is_the_result(home: Home, account: Account) -> None:
    handler = {
        "cmd": 'echo "{{ payload.place.name }} $WHERE $CUEAPI_CUE_NAME $CUEAPI_WORKER_ID $CUEAPI_EXECUTION_ID"',
        "env": {"WHERE": "at {{ payload.depth }} m"},
    }
    found = outcome_of(home, account, handler, payload={"task": "dig", "place": {"name": "Uruk"}, "depth": 3})
    assert (found["status"], found["attempts"], found["claimed_by_worker"]) == ("success", 1, "w-1")
    assert found["outcome"]["result"] == f"Uruk at 3 m pull w-1 {found['id']}\n"
    assert account.get(f"/v1/cues/{found['cue_id']}")["run_count"] == 1


def test_a_handler_that_fails_ends_the_execution_as_failed(home: Home, account: Account) -> None:
    found = outcome_of(home, account, "echo out; echo no shovel >&2; exit 3")
    assert (found["status"], found["outcome_state"]) == ("failed", "reported_failure")
    assert "no shovel" in found["outcome"]["error"]
    assert "no shovel" in found["error_message"]


@pytest.mark.parametrize(("ending", "kept_as"), [("exit 0", "result"), ("exit 1", "error")])
def test_four_kilobytes_of_output_are_cut_and_not_refused(
    home: Home, account: Account, ending: str, kept_as: str
) -> None:
    found = outcome_of(home, account, f"head -c 5000 /dev/zero | tr '\\0' x; {ending}")
    assert found["outcome"][kept_as] == "x" * 2000


def test_evidence_in_the_outcome_file_satisfies_the_verification(home: Home, account: Account) -> None:
    handler = """echo '{"external_id": "job-7", "summary": "Dug"}' > "$CUEAPI_OUTCOME_FILE" """
    found = outcome_of(home, account, handler, verification={"mode": "require_external_id"})
    assert (found["outcome_state"], found["outcome"]["external_id"]) == ("verified_success", "job-7")


def test_a_handler_makes_the_cue_of_the_next_step(home: Home, account: Account) -> None:
    with Daemon(home, account, {"first": f"python '{CHAIN}'", "second": "echo {{ payload.first.n }}"}).started():
        first = account.ended(
            account.fire(account.worker_cue("chain", "first", payload={"task": "first", "n": 8})), within_s=20
        )
        next_cue = first["outcome"]["result"].strip()

        def second() -> Any:
            runs = account.get("/v1/executions", cue_id=next_cue, status="success")["executions"]
            return runs[0] if runs else None

        found = eventually(second, within_s=20, what="the second step")
    assert (found["outcome"]["result"], found["triggered_by"]) == ("8\n", "scheduled")


def test_the_account_sees_its_worker_and_what_it_handles(home: Home, account: Account) -> None:
    with Daemon(home, account, {"dig": "true", "fly": "true"}, worker_id="host.example.org").started():
        (worker,) = account.get("/v1/workers")["workers"]
        cue = account.worker_cue("pull", "dig")
    assert (worker["worker_id"], worker["handlers"]) == ("host.example.org", ["dig", "fly"])
    assert worker["heartbeat_status"] == "active"
    assert cue["warning"] is None


# --- Leases -----------------------------------------------------------------------------------------------------------


def test_a_handler_longer_than_its_lease_keeps_its_claim(home: Home, account: Account, gate: Path) -> None:
    with Daemon(home, account, {"dig": waits_for(gate)}).started():
        execution_id = account.fire(account.worker_cue("pull", "dig"))
        claimed(account, execution_id, "w-1")
        wait_until_a_silent_worker_loses_its_claim(account)
        held = account.execution(execution_id)
        gate.touch()
        found = account.ended(execution_id)
    assert (held["status"], held["claimed_by_worker"], held["attempts"]) == ("delivering", "w-1", 1)
    assert (found["status"], found["attempts"], found["outcome"]["result"]) == ("success", 1, "released\n")


def wait_until_a_silent_worker_loses_its_claim(account: Account) -> None:
    """Then every lease that began before this call is over, and the server looked at those that are."""
    execution_id = account.fire(account.worker_cue("silent", "nobody-does-this"))
    account.post(f"/v1/executions/{execution_id}/claim", {"worker_id": "silent"})
    eventually(
        lambda: account.execution(execution_id)["status"] == "pending", within_s=30, what="the end of a silent lease"
    )


def test_what_a_dead_worker_held_is_done_by_another(home: Home, account: Account, gate: Path) -> None:
    first = Daemon(home, account, {"dig": waits_for(gate)}, worker_id="first")
    second = Daemon(home, account, {"dig": "echo by the second"}, worker_id="second")
    with first.started() as dying:
        execution_id = account.fire(account.worker_cue("pull", "dig"))
        claimed(account, execution_id, "first")
        dying.kill()
        with second.started():
            found = account.ended(execution_id, within_s=40)
    assert (found["status"], found["claimed_by_worker"], found["attempts"]) == ("success", "second", 2)
    assert found["outcome"]["result"] == "by the second\n"


# --- Keys -------------------------------------------------------------------------------------------------------------


def test_a_daemon_whose_key_was_replaced_gets_a_new_one_by_mail(
    home: Home, account: Account, impatient_server: Server
) -> None:
    daemon = Daemon(home, account, {"dig": "echo dug"}, email=account.email)
    with daemon.started() as running:
        owner = replace(account, api_key=account.post("/v1/auth/key/regenerate")["api_key"])
        running.says("Attempting automatic recovery")
        assert follow(mailed_link(impatient_server, account.email)).status_code == 200
        running.says("Key recovered automatically")
        found = owner.ended(owner.fire(owner.worker_cue("pull", "dig")))
    assert found["outcome"]["result"] == "dug\n"
    assert daemon.api_key not in (account.api_key, owner.api_key)
    assert owner.status_of("/v1/auth/me") == 200


def test_a_daemon_without_an_address_ends_and_says_that_its_key_was_replaced(home: Home, account: Account) -> None:
    daemon = Daemon(home, account, {"dig": "true"})
    with daemon.started() as running:
        account.post("/v1/auth/key/regenerate")
        assert running.wait() == 1
        assert "no email configured" in running.output
    assert "API key was rotated" in daemon.refuses("status")


def test_a_login_puts_a_key_into_the_configuration(home: Home, account: Account, impatient_server: Server) -> None:
    daemon = Daemon(home, replace(account, api_key="cue_sk_" + "0" * 32), {"dig": "true"})
    words = ("login", "--email", account.email, "--config", str(daemon.config))
    with home.running(PROGRAM, *words) as login:
        assert follow(mailed_link(impatient_server, account.email)).status_code == 200
        assert login.wait() == 0
    assert "Key saved to config" in login.output
    assert "connected and authenticated" in daemon.run("status")
    assert replace(account, api_key=daemon.api_key).get("/v1/auth/me")["email"] == account.email


def test_a_regenerated_key_is_put_into_the_configuration(home: Home, account: Account) -> None:
    daemon = Daemon(home, account, {"dig": "true"})
    assert "Key regenerated" in daemon.run("regenerate-key")
    assert "Worker 'w-1' is connected" in daemon.run("status")
    assert account.status_of("/v1/auth/me") == 401
