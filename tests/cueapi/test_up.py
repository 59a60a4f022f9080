"""`make up`, from its parts (secrets, port, first login, banner) to one real run of all of it."""

import contextlib
import http.client
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cueapi.bootstrap import SECRET_NAMES, make_secrets
from cueapi.conf import Settings, conf
from cueapi.management import banner, first_login, ports
from cueapi.management.commands import up
from cueapi.models import Account
from tests.support.deadline import eventually
from tests.support.ports import free_port
from tests.support.processes import ROOT, installation_environment

NOW = datetime(2031, 5, 4, 9, tzinfo=UTC)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- Secrets ------------------------------------------------------------------------------------------------


def test_secrets_are_made_where_only_their_owner_reads_them(tmp_path: Path) -> None:
    make_secrets(tmp_path / "var")

    assert mode_of(tmp_path / "var") == 0o700
    assert mode_of(tmp_path / "var" / "secrets.env") == 0o600


def test_each_secret_is_long_and_its_own(tmp_path: Path) -> None:
    make_secrets(tmp_path)

    values = dict(line.split("=", 1) for line in (tmp_path / "secrets.env").read_text().splitlines())
    assert set(values) == set(SECRET_NAMES)
    assert len(set(values.values())) == len(SECRET_NAMES)
    assert all(len(value) >= 50 for value in values.values())


def test_a_second_start_keeps_the_secrets(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    first = (tmp_path / "secrets.env").read_text()

    make_secrets(tmp_path)

    assert (tmp_path / "secrets.env").read_text() == first
    assert [path.name for path in tmp_path.iterdir()] == ["secrets.env"]


# --- The port -----------------------------------------------------------------------------------------------


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_busy_port_is_told_with_the_way_out(busy_port: int) -> None:
    message = f"^Port {busy_port} is in use. Stop what uses it, or run: make up PORT={busy_port + 1}$"
    with pytest.raises(ports.PortError, match=message):
        ports.require_free("127.0.0.1", busy_port)


def test_a_port_taken_on_loopback_is_busy_for_all_addresses(busy_port: int) -> None:
    with pytest.raises(ports.PortError, match="is in use"):
        ports.require_free("0.0.0.0", busy_port)


def test_a_free_port_passes() -> None:
    ports.require_free("127.0.0.1", free_port())


@pytest.mark.parametrize("text", ["http", "0", "65536", "-1", "80.5", "٣"])
def test_what_is_no_port_is_refused_by_name(text: str) -> None:
    with pytest.raises(ports.PortError, match="no port"):
        ports.parse_port(text)


# --- What the processes are given ---------------------------------------------------------------------------


def test_the_base_url_follows_the_port() -> None:
    env = up.environment({}, Settings(_env_file=None), host="127.0.0.1", port=8001)

    assert (env["PORT"], env["BASE_URL"]) == ("8001", "http://localhost:8001")


def test_a_base_url_of_the_operator_stays() -> None:
    chosen = Settings(_env_file=None, base_url="https://cue.example.org")

    assert up.environment({}, chosen, host="127.0.0.1", port=8001)["BASE_URL"] == "https://cue.example.org"


def test_the_processes_find_the_programs_of_this_python_first() -> None:
    env = up.environment({"PATH": "/usr/bin"}, Settings(_env_file=None), host="127.0.0.1", port=8001)

    assert env["PATH"] == f"{Path(sys.executable).parent}:/usr/bin"


def test_one_folder_runs_once(tmp_path: Path) -> None:
    with (
        up.only_one(tmp_path),
        pytest.raises(up.AlreadyRunningError, match="already runs"),
        up.only_one(tmp_path),
    ):
        pass


# --- The first login ----------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_first_start_makes_an_admin_and_remembers_the_login(tmp_path: Path) -> None:
    login = first_login.make_or_read(tmp_path, now=NOW)

    assert login is not None and login.key_works
    assert Account.objects.get().check_password(login.admin_password)
    assert Account.objects.get().is_superuser
    assert mode_of(tmp_path / "first-login.txt") == 0o600


@pytest.mark.django_db
def test_a_second_start_tells_the_same_login(tmp_path: Path) -> None:
    first = first_login.make_or_read(tmp_path, now=NOW)

    assert first_login.make_or_read(tmp_path, now=NOW) == first
    assert Account.objects.count() == 1


@pytest.mark.django_db
def test_without_the_file_an_existing_account_is_left_alone(tmp_path: Path) -> None:
    first_login.make_or_read(tmp_path, now=NOW)
    (tmp_path / "first-login.txt").unlink()

    assert first_login.make_or_read(tmp_path, now=NOW) is None


@pytest.mark.django_db
def test_a_replaced_key_is_told_as_such(tmp_path: Path) -> None:
    login = first_login.make_or_read(tmp_path, now=NOW)
    assert login is not None
    Account.objects.get().api_keys.update(replaced_at=NOW)

    assert not login.key_works


# --- The banner ---------------------------------------------------------------------------------------------


def rendered(login: first_login.FirstLogin | None, *, key_works: bool = True) -> str:
    return banner.render(
        banner.Installation(
            base_url="http://localhost:8001",
            var_dir=conf().var_dir,
            manage_py=ROOT / "manage.py",
            login=login,
            key_works=key_works,
        )
    )


LOGIN = first_login.FirstLogin("you@localhost", "cue_sk_" + "0" * 32, "open sesame")


def test_the_banner_tells_where_it_is_and_how_to_come_in() -> None:
    text = rendered(LOGIN)

    for word in (
        "http://localhost:8001",
        "/docs",
        "/admin/",
        LOGIN.api_key,
        LOGIN.admin_password,
        "first-login.txt",
    ):
        assert word in text


def test_the_curl_carries_the_key() -> None:
    assert f"curl -X POST http://localhost:8001/v1/cues -H 'Authorization: Bearer {LOGIN.api_key}'" in rendered(LOGIN)


def test_a_key_that_no_longer_works_is_not_put_in_the_curl() -> None:
    assert "Bearer YOUR_API_KEY" in rendered(LOGIN, key_works=False)


def test_an_unknown_login_is_not_invented() -> None:
    text = rendered(None)

    assert "Password" not in text
    assert "Bearer YOUR_API_KEY" in text


# --- All of it ----------------------------------------------------------------------------------------------


class Terminal:
    """`manage.py up` in a process of its own, without a terminal; what it prints goes to a file."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self.output = folder / f"output-{port}"
        self.environment = installation_environment(folder / "var", port)
        del self.environment["BASE_URL"]

    def __enter__(self) -> "Terminal":
        subprocess.run([sys.executable, "-m", "cueapi.bootstrap"], cwd=ROOT, env=self.environment, check=True)
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)

    @property
    def text(self) -> str:
        return self.output.read_text()

    def api_key(self) -> str:
        """The key of the banner, once it is there."""
        match = eventually(self._key_or_end, within_s=90, what="the banner")
        return match.group(1)

    def _key_or_end(self) -> re.Match[str] | None:
        assert self.process.poll() is None, self.text
        return re.search(r"API key\s+(cue_sk_[0-9a-f]{32})\n.*Ctrl-C", self.text, re.DOTALL)

    def get(self, path: str, key: str = "") -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
            return connection.getresponse().status


def processes_naming(var_dir: Path) -> list[str]:
    """Every process that has VAR_DIR in its environment (Linux), but not this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"VAR_DIR={var_dir}\0".encode() in path.read_bytes() and path.parent.name != str(os.getpid()):
                found.append((path.parent / "cmdline").read_text())
    return found


@pytest.mark.processes
def test_up_serves_until_ctrl_c_and_a_second_up_keeps_the_key(tmp_path: Path) -> None:
    with Terminal(tmp_path, free_port()) as first:
        key = first.api_key()
        assert (first.get("/health"), first.get("/v1/auth/me", key)) == (200, 200)

        first.process.send_signal(signal.SIGINT)
        assert first.process.wait(timeout=60) == 0, first.text
    assert processes_naming(tmp_path / "var") == []

    with Terminal(tmp_path, free_port()) as second:
        assert second.api_key() == key
        assert second.get("/v1/auth/me", key) == 200


@pytest.mark.processes
def test_up_says_what_to_do_about_a_busy_port(tmp_path: Path, busy_port: int) -> None:
    with Terminal(tmp_path, busy_port) as terminal:
        assert terminal.process.wait(timeout=60) == 1

    assert f"Port {busy_port} is in use. Stop what uses it, or run: make up PORT=" in terminal.text
