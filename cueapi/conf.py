"""Typed settings: every knob of the product, its unit and its default, read once from the environment.

`config.settings` builds one `Settings` and stores it as `settings.CUEAPI`; everything else asks `conf()`.
Names are those of the environment variables, in lower case (contract section 12).
"""

from pathlib import Path
from typing import Annotated, Literal

from django.conf import settings as django_settings
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PlanName = Literal["unlimited", "free", "pro", "scale"]
Days = Annotated[int, Field(ge=0, le=36_500)]


class Settings(BaseSettings):
    """One attribute per environment variable. Instances are immutable; tests use `model_copy(update=…)`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    # Where it runs
    env: Literal["development", "production"] = "development"
    base_url: str = "http://localhost:8000"
    secret_key: str = ""  # signs sessions and derives the key that encrypts secrets at rest
    secret_key_fallbacks: str = ""  # comma list of earlier ones, which still open what they sealed
    session_secret: str = ""
    allowed_hosts: str = "*"  # comma list; the API answers any Host by default
    trusted_proxy_count: int = 0  # how many proxies append to X-Forwarded-For in front of us
    log_level: str = "INFO"
    log_format: Literal["line", "json"] = "line"
    metrics_token: str = ""  # whoever asks for /metrics sends it as a bearer token; empty: anyone may ask

    # Where it keeps things
    var_dir: Path = Path("var")
    database_url: str = ""  # empty: SQLite in var/
    database_pool_size: int = Field(20, ge=0)  # connections a process may hold on PostgreSQL; 0: one for each thread
    database_is_transaction_pooled: bool = False  # DATABASE_URL leads to PgBouncer in transaction mode, or its like
    redis_url: str = ""  # empty: the private Valkey in var/
    broker_url: str = ""  # redis, rediss, valkey, valkeys, amqp or amqps; empty: redis_url

    # Mail
    email_url: str = ""  # smtp://user:password@host:587?tls=true; empty: written to the log
    default_from_email: str = "CueAPI <cueapi@localhost>"

    # Accounts
    allow_register: bool = True
    default_plan: PlanName = "unlimited"
    default_monthly_execution_limit: int | None = None  # 0 is "no limit"; None is "the plan's"
    disable_quota_enforcement: bool = False
    keep_key_copy: bool = False  # needs session_secret
    disable_device_code: bool = False
    auth_verify_confirm: bool = False  # the link in a login mail asks for a press of a button
    session_jwt_expiry_hours: float = Field(24, gt=0)
    fire_limit_per_hour: int = Field(0, ge=0)  # manual fires for one account; 0 is "no limit"

    # Delivery
    webhook_timeout_seconds: float = Field(30, gt=0)  # connect to last byte
    webhook_flatten_payload: bool = True
    receiver_may_end_retries: bool = True  # by answering 410, or X-CueAPI-No-Retry: true with any failure
    max_concurrent_deliveries_per_user: int = Field(50, ge=1)
    worker_threads: int = Field(16, ge=1)  # tasks at a time in one worker process
    lane_concurrency: int = Field(10, ge=1)  # requests of one account in flight to one destination
    breaker_failures: int = Field(10, ge=0)  # in a row, after which a destination is left alone; 0 is "never"
    breaker_probe_seconds: float = Field(5, gt=0)  # before the first probe of it; twice as long each time, up to
    breaker_probe_max_seconds: float = Field(60, gt=0)
    worker_stop_seconds: float = Field(25, ge=0)  # how long a stopping worker waits for what is in flight
    allow_http_callbacks: bool = False
    callback_allow_hosts: str = ""  # comma list of host names
    callback_allow_cidrs: str = ""  # comma list of networks

    # Pulling workers and reports
    long_poll_max_seconds: float = Field(30, ge=0)  # a longer `wait` is shortened to this
    long_poll_waiters_max: int = Field(32, ge=0)  # in one web process; who comes then is answered at once
    event_stream_seconds: float = Field(300, ge=0)  # how long one stream of events lasts; its client comes back
    event_streams_per_account: int = Field(4, ge=0)  # over all web processes
    event_streams_max: int = Field(12, ge=0)  # in one web process: each holds one of its threads
    report_link_hours: float = Field(168, gt=0)  # how long a delivery's report links work

    # Time and recovery
    missed_grace_seconds: float = 60
    execution_stale_after_seconds: float = 300
    execution_stale_margin_seconds: float = 60  # on top of a delivery's own time limit
    requeue_after_seconds: float = 60  # a due execution whose message is lost this long is queued again
    worker_heartbeat_timeout_seconds: float = 180
    worker_claim_timeout_seconds: float = 900
    worker_claim_max_seconds: float = 86_400  # a claim without a heartbeat of its own ends then; 0 is "never"
    worker_unclaimed_timeout_seconds: float = 900

    # How long things are kept, in days; 0 is "for ever"
    retention_attempt_bodies_days: Days = 30  # what receivers answered, from the end of the execution on
    retention_executions_days: Days = 90  # with attempts and history, from their end on
    retention_ledger_days: Days = 400  # verdicts on windows, and the past definitions of cues
    retention_alerts_days: Days = 90  # with their mails and calls
    retention_audit_days: Days = 365  # who changed what

    @field_validator("base_url")
    @classmethod
    def _without_slash(cls, url: str) -> str:
        return url.rstrip("/")

    @property
    def keeps_key_copies(self) -> bool:
        return self.keep_key_copy and bool(self.session_secret)

    @property
    def is_development(self) -> bool:
        return self.env == "development"

    @property
    def callback_hosts_allowed(self) -> frozenset[str]:
        return frozenset(split_list(self.callback_allow_hosts.lower()))

    @property
    def callback_cidrs_allowed(self) -> tuple[str, ...]:
        return tuple(split_list(self.callback_allow_cidrs))


def split_list(text: str) -> list[str]:
    """The items of a comma list, trimmed, without empty ones."""
    return [item.strip() for item in text.split(",") if item.strip()]


def conf() -> Settings:
    """The settings in force."""
    settings: Settings = django_settings.CUEAPI
    return settings
