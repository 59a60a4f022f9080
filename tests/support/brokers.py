"""Brokers for an `Installation`, each a private server in its folder: Valkey, Redis, RabbitMQ.

Valkey comes with requirements.txt. Redis and RabbitMQ are Debian's: `apt-get install redis-server rabbitmq-server`;
tests that want one which is not there are skipped and say so.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import redis
from kombu import Connection
from kombu.exceptions import KombuError

from cueapi.embedded import broker_command, broker_redis_url
from tests.support.ports import free_port, free_port_for_slow_starters

RABBITMQ_BIN = Path("/usr/lib/rabbitmq/bin")
QUEUES = ("default", "fire", "retries", "deliver")


@dataclass(frozen=True)
class PrivateValkey:
    """The broker of an embedded installation."""

    missing = ""
    beside: tuple[str, ...] = ()

    def settings(self, var_dir: Path) -> Mapping[str, str]:
        """What the product's processes need in their environment."""
        return {}

    def command(self, var_dir: Path) -> list[str]:
        return broker_command(var_dir)

    def answers(self, var_dir: Path) -> bool:
        return _redis_answers(broker_redis_url(var_dir))

    def listeners(self, var_dir: Path) -> int:
        """Workers whose connection waits in the blocking read of its queues."""
        return _redis_listeners(broker_redis_url(var_dir))


@dataclass(frozen=True)
class RedisServer:
    """Debian's Redis, over TCP."""

    port: int = field(default_factory=free_port)
    beside: tuple[str, ...] = ()

    @property
    def missing(self) -> str:
        return "" if shutil.which("redis-server") else "Redis is not installed: apt-get install redis-server"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def settings(self, var_dir: Path) -> Mapping[str, str]:
        return {"REDIS_URL": self.url}

    def command(self, var_dir: Path) -> list[str]:
        home = _folder(var_dir, "redis")
        kept = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "")
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(home), *kept]

    def answers(self, var_dir: Path) -> bool:
        return _redis_answers(self.url)

    def listeners(self, var_dir: Path) -> int:
        return _redis_listeners(self.url)


@dataclass(frozen=True)
class RabbitMq:
    """Debian's RabbitMQ, with a port mapper of its own, and a Valkey beside it as the volatile store."""

    port: int = field(default_factory=free_port_for_slow_starters)
    peer_port: int = field(default_factory=free_port_for_slow_starters)
    mapper_port: int = field(default_factory=free_port_for_slow_starters)
    beside: tuple[str, ...] = ("store",)

    @property
    def missing(self) -> str:
        there = (RABBITMQ_BIN / "rabbitmq-server").exists() and shutil.which("epmd")
        return "" if there else "RabbitMQ is not installed: apt-get install rabbitmq-server"

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def settings(self, var_dir: Path) -> Mapping[str, str]:
        return {"BROKER_URL": self.url}

    def command(self, var_dir: Path) -> list[str]:
        home = _folder(var_dir, "rabbitmq")
        (home / "plugins").write_text("[].\n")
        (home / "rabbitmq.conf").write_text("")
        own = [f"{name}={value}" for name, value in self._environment(home).items()]
        mapper = f"epmd -address 127.0.0.1 -port {self.mapper_port} & "  # else the server leaves one behind
        return ["env", *own, "sh", "-c", f"{mapper} exec {RABBITMQ_BIN}/rabbitmq-server"]

    def _environment(self, home: Path) -> Mapping[str, str]:
        return {
            "HOME": str(home),  # of the cookie
            "RABBITMQ_NODENAME": f"cueapi{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.peer_port),
            "ERL_EPMD_PORT": str(self.mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",  # one core, and no spinning on it
        }

    def answers(self, var_dir: Path) -> bool:
        try:
            with self._connection() as connection:
                connection.connect()
                return True
        except (OSError, KombuError):
            return False

    def listeners(self, var_dir: Path) -> int:
        """Workers that consume the last queue of those that each consumes."""
        try:
            with self._connection() as connection:
                return int(connection.default_channel.queue_declare(QUEUES[-1], passive=True).consumer_count)
        except connection.channel_errors:
            return 0

    def _connection(self) -> Connection:
        return Connection(self.url, connect_timeout=2, transport_options={"max_retries": 0})


Broker = PrivateValkey | RedisServer | RabbitMq
BROKERS: Mapping[str, Callable[[], Broker]] = {
    "valkey": PrivateValkey,
    "redis": RedisServer,
    "rabbitmq": RabbitMq,
    "rabbitmq-alone": lambda: RabbitMq(beside=()),  # and nothing at REDIS_URL
}


def _folder(var_dir: Path, name: str) -> Path:
    folder = var_dir / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _redis_answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def _redis_listeners(url: str) -> int:
    try:
        with redis.Redis.from_url(url) as client:
            return sum(one["cmd"] == "brpop" for one in client.client_list())
    except redis.ConnectionError:
        return 0
