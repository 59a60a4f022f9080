"""The published command line client against our server.

CLI 0.2.0 has no bulk-delete, no `workers`, no `key webhook-secret` and no replay or verify: there is nothing to run.
"""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.clients.account import Account, follow, mailed_link, submit_address
from tests.clients.cli import Cli
from tests.clients.home import Home, Running
from tests.clients.server import Server
from tests.clients.venvs import programs_of
from tests.support.deadline import eventually
from tests.support.receiver import Receiver

pytestmark = pytest.mark.processes

YEARLY = "0 0 1 1 *"
HOOK = "http://127.0.0.1:9/hook"
CUE_ID = re.compile(r"cue_[a-z0-9]{12}")


@pytest.fixture(scope="session")
def programs() -> Path:
    return programs_of("cli")


@pytest.fixture
def cli(programs: Path, account: Account, tmp_path: Path) -> Cli:
    """With the account's key in the environment."""
    base = f"{account.base_url}/v1"
    return Cli(Home(tmp_path, programs, CUEAPI_API_BASE=base, CUEAPI_API_KEY=account.api_key))


@pytest.fixture
def newcomer(programs: Path, server: Server, tmp_path: Path) -> Cli:
    """Without a key."""
    return Cli(Home(tmp_path, programs, CUEAPI_API_BASE=f"{server.base_url}/v1"))


def create(cli: Cli, name: str = "digest", *words: str) -> str:
    """The id of a new webhook cue."""
    return created(cli("create", "--name", name, "--cron", YEARLY, "--url", HOOK, *words))


def created(printed: str) -> str:
    found = CUE_ID.search(printed)
    assert found and f"Created: {found[0]}" in printed, printed
    return found[0]


# --- Logging in -------------------------------------------------------------------------------------------------------


def log_in(cli: Cli, server: Server, email: str) -> None:
    """Type `cueapi login`, give the page an address, and follow the link of the mail."""
    with cli.home.running("cueapi", "login") as login:
        device_code = asked_for(login)
        page = follow(f"{server.base_url}/auth/device?code={device_code}")
        assert (page.status_code, device_code in page.text) == (200, True)
        submit_address(server, device_code, email)
        assert follow(mailed_link(server, email)).status_code == 200
        login.says(f"Authenticated as {email}")
        assert login.wait() == 0


def asked_for(login: Running) -> str:
    """The device code in the address that the client shows."""
    found = eventually(lambda: re.search(r"/auth/device\?code=([A-Z0-9]{4}-[A-Z0-9]{4})\s", login.output))
    return found[1]


def test_a_newcomer_logs_in_through_the_link_in_the_mail(newcomer: Cli, server: Server) -> None:
    log_in(newcomer, server, "newcomer@example.org")
    me = newcomer.shown("whoami")
    assert (me["Email"], me["API base"]) == ("newcomer@example.org", f"{server.base_url}/v1")
    assert me["API key"].startswith("cue_sk_...")
    assert create(newcomer)


def test_an_account_that_exists_logs_in_and_keeps_its_key(newcomer: Cli, server: Server, account: Account) -> None:
    log_in(newcomer, server, account.email)
    assert newcomer.shown("whoami")["Email"] == account.email
    assert account.status_of("/v1/auth/me") == 200


def test_a_regenerated_key_takes_the_place_of_the_stored_one(newcomer: Cli, account: Account) -> None:
    store_key(newcomer.home.folder, account)
    printed = newcomer("key", "regenerate", "--yes")
    assert "Local credentials updated." in printed
    assert newcomer.shown("whoami")["Email"] == account.email
    assert stored_key(newcomer.home.folder) in printed
    assert account.status_of("/v1/auth/me") == 401


def store_key(home: Path, account: Account) -> None:
    """What a login leaves behind."""
    path = home / ".config" / "cueapi" / "credentials.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"default": {"api_key": account.api_key, "email": account.email}}))


def stored_key(home: Path) -> str:
    return str(json.loads((home / ".config" / "cueapi" / "credentials.json").read_text())["default"]["api_key"])


def test_quickstart_sees_its_first_cue_delivered(cli: Cli, account: Account) -> None:
    printed = cli("quickstart")
    assert "Callback delivered!" in printed
    assert "Your first cue! CueAPI is working." in printed
    assert "Deleted." in printed
    assert account.get("/v1/cues")["total"] == 0


# --- Cues -------------------------------------------------------------------------------------------------------------


def test_a_cue_is_shown_as_it_was_created(cli: Cli) -> None:
    cue_id = create(
        cli,
        "digest",
        "--timezone",
        "Europe/Paris",
        "--method",
        "PUT",
        "--description",
        "Once a year",
        "--payload",
        "{}",
    )
    shown = cli.shown("get", cue_id)
    assert shown["Name"] == "digest"
    assert shown["Schedule"] == f"{YEARLY} (Europe/Paris)"
    assert shown["Callback"] == f"PUT {HOOK}"
    assert shown["Next run"].endswith("-12-31T23:00:00Z")
    assert shown["Description"] == "Once a year"


def test_cues_are_listed_with_their_next_run(cli: Cli) -> None:
    due_at = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
    once = created(cli("create", "--name", "later", "--at", due_at.isoformat(), "--worker"))
    paused = create(cli, "idle")
    cli("pause", paused)
    lines = cli("list").splitlines()
    assert f"{due_at:%Y-%m-%d %H:%M} UTC" in line_of(once, lines)
    assert "paused" in line_of(paused, lines)
    assert lines[-2] == "2 cues (1 active, 1 paused)"
    assert once not in cli("list", "--status", "paused")
    assert once in cli("list", "--limit", "1", "--offset", "1")


def line_of(words: str, lines: list[str]) -> str:
    (line,) = [line for line in lines if words in line]
    return line


def test_an_update_keeps_what_it_does_not_name(cli: Cli, account: Account) -> None:
    cue_id = create(cli, "digest", "--timezone", "Europe/Paris", "--method", "PUT")
    url = "http://127.0.0.1:9/other"
    assert "Updated" in cli("update", cue_id, "--cron", "0 12 1 7 *", "--url", url, "--payload", '{"n": 1}')
    cue = account.get(f"/v1/cues/{cue_id}")
    assert cue["schedule"] == {"type": "recurring", "cron": "0 12 1 7 *", "timezone": "Europe/Paris"}
    assert (cue["callback"]["method"], cue["callback"]["url"], cue["payload"]) == ("PUT", url, {"n": 1})


def test_a_paused_cue_is_resumed(cli: Cli, account: Account) -> None:
    cue_id = create(cli)
    assert f"Paused: {cue_id} (digest)" in cli("pause", cue_id)
    assert account.get(f"/v1/cues/{cue_id}")["status"] == "paused"
    assert "Next run:" in cli("resume", cue_id)
    assert account.get(f"/v1/cues/{cue_id}")["status"] == "active"


def test_a_cue_is_deleted_once_its_owner_agrees(cli: Cli) -> None:
    cue_id = create(cli)
    assert "Cancelled." in cli("delete", cue_id, typed="n\n")
    assert "Deleted." in cli("delete", cue_id, typed="y\n")
    assert cli.refuses("delete", cue_id, "--yes") == f"Cue not found: {cue_id}"
    assert "No cues yet" in cli("list")


def test_a_refusal_says_what_was_wrong(cli: Cli, account: Account) -> None:
    create(cli)
    assert "digest" in cli.refuses("create", "--name", "digest", "--cron", YEARLY, "--url", HOOK)
    assert "every day" in cli.refuses("create", "--name", "two", "--cron", "every day", "--url", HOOK)
    assert "10.0.0.1" in cli.refuses("create", "--name", "two", "--cron", YEARLY, "--url", "http://10.0.0.1/")


def test_there_is_no_billing_to_open(cli: Cli) -> None:
    assert "Nothing answers" in cli.refuses("manage")


# --- Runs -------------------------------------------------------------------------------------------------------------


def test_a_fired_cue_is_delivered_with_its_override(cli: Cli, account: Account, receiver: Receiver) -> None:
    cue_id = created(
        cli("create", "--name", "hook", "--cron", YEARLY, "--url", receiver.url, "--payload", '{"a": 1, "b": 1}')
    )
    execution_id = fire(cli, cue_id, "--payload-override", '{"b": 2}')
    account.ended(execution_id)
    replaced = fire(cli, cue_id, "--payload-override", '{"b": 3}', "--merge-strategy", "replace")
    account.ended(replaced)
    assert [webhook.json["payload"] for webhook in receiver.received] == [{"a": 1, "b": 2}, {"b": 3}]
    assert "success  (200, 1 attempt)" in cli("get", cue_id)
    shown = cli.shown("executions", "get", execution_id)
    assert (shown["Cue"], shown["Status"], shown["HTTP status"]) == (cue_id, "success", "200")
    assert execution_id in cli("executions", "list", "--cue-id", cue_id, "--status", "success")
    assert "No executions found" in cli("executions", "list", "--status", "failed")


def fire(cli: Cli, cue_id: str, *words: str) -> str:
    return cli.shown("fire", cue_id, *words)["Execution"]


def worker_cue(cli: Cli, name: str, task: str) -> str:
    payload = json.dumps({"task": task, "agent": "socrates"})
    return created(cli("create", "--name", name, "--cron", YEARLY, "--worker", "--payload", payload))


def test_an_execution_is_claimed_kept_and_reported_by_one_worker(cli: Cli, account: Account) -> None:
    execution_id = fire(cli, worker_cue(cli, "pull", "dig"))
    assert execution_id in cli("executions", "list-claimable", "--task", "dig", "--agent", "socrates")
    assert "No claimable executions (task=fly)" in cli("executions", "list-claimable", "--task", "fly")
    assert "Lease:           900s" in cli("executions", "claim", execution_id, "--worker-id", "w-1")
    assert "Not claimable" in cli.refuses("executions", "claim", execution_id, "--worker-id", "w-2")
    assert "does not match" in cli.refuses("executions", "heartbeat", execution_id, "--worker-id", "w-2")
    assert "Lease until:" in cli("executions", "heartbeat", execution_id, "--worker-id", "w-1")
    report = ("executions", "report-outcome", execution_id, "--success")
    evidence = ("--external-id", "job-7", "--result-url", "https://example.org/7", "--summary", "Dug")
    assert "Outcome recorded" in cli(*report, *evidence)
    assert "already recorded" in cli.refuses(*report)
    found = account.execution(execution_id)
    assert (found["status"], found["claimed_by_worker"]) == ("success", "w-1")
    assert kept(found["outcome"]) == {"external_id": "job-7", "result_url": "https://example.org/7", "summary": "Dug"}
    assert "no longer" in cli.refuses("executions", "heartbeat", execution_id, "--worker-id", "w-1")


def kept(outcome: Any) -> dict[str, str]:
    return {name: outcome[name] for name in ("external_id", "result_url", "summary")}


def test_the_next_execution_is_the_oldest_or_the_oldest_of_a_task(cli: Cli) -> None:
    first, second = (fire(cli, worker_cue(cli, task, task)) for task in ("dig", "fly"))
    assert f"Claimed: {second}" in cli("executions", "claim-next", "--worker-id", "w-1", "--task", "fly")
    assert f"Claimed: {first}" in cli("executions", "claim-next", "--worker-id", "w-1")
    assert "No executions available" in cli("executions", "claim-next", "--worker-id", "w-1")


def test_a_failure_is_reported(cli: Cli, account: Account) -> None:
    execution_id = fire(cli, worker_cue(cli, "pull", "dig"))
    cli("executions", "claim", execution_id, "--worker-id", "w-1")
    assert "failure" in cli("executions", "report-outcome", execution_id, "--failure")
    assert account.execution(execution_id)["status"] == "failed"


def test_usage_shows_the_plan_and_its_real_limits(cli: Cli) -> None:
    create(cli)
    assert cli.shown("usage") == {
        "Plan": "Unlimited",
        "Active cues": "1 / 1000000",
        "Executions": "0 / 1,000,000,000 (0.0%)",
        "Rate limit": "6000 req/min",
    }
