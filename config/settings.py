"""Django's settings. What an operator may change comes from the environment, through `config.env`."""

from typing import Any

from celery.schedules import crontab
from django.templatetags.static import static
from django.urls import reverse_lazy

from config import brokers, env
from config.databases import database
from cueapi import __version__
from cueapi.conf import split_list

BASE_DIR = env.ROOT_DIR
CUEAPI = env.load()

SECRET_KEY = CUEAPI.secret_key
SECRET_KEY_FALLBACKS = split_list(CUEAPI.secret_key_fallbacks)
DEBUG = False
ALLOWED_HOSTS = split_list(CUEAPI.allowed_hosts)
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
AUTH_USER_MODEL = "cueapi.Account"
AUTH_PASSWORD_VALIDATORS = [{"NAME": "cueapi.passwords.ListedInTheTrail"}]
SILENCED_SYSTEM_CHECKS = ["auth.E003"]  # the e-mail address is unique, without regard to case, by a constraint
APPEND_SLASH = False  # a redirect would lose a POST body (contract 1.1)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-us"
USE_I18N = False
TIME_ZONE = "UTC"
USE_TZ = True

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "cueapi",
    "cues",
    "executions",
]

MIDDLEWARE = [
    "cueapi.middleware.RequestIdMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "cueapi.middleware.BodyLimitMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "cueapi.middleware.ContentSecurityPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "cueapi.middleware.AdminAsksForPasswordMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Where data lives -------------------------------------------------------------------------------------------

DATABASES = {
    "default": database(
        CUEAPI.database_url, pool=CUEAPI.database_pool_size, is_bouncer=CUEAPI.database_is_transaction_pooled
    )
}

# --- Web --------------------------------------------------------------------------------------------------------

DATA_UPLOAD_MAX_MEMORY_SIZE = None  # cueapi.middleware.BodyLimitMiddleware answers 413 in the API's own shape
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # no collectstatic step; files are served from the installed packages
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = CUEAPI.base_url.startswith("https://")
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_TRUSTED_ORIGINS = [CUEAPI.base_url]
CSRF_FAILURE_VIEW = "cueapi.pages.unconfirmed"

CORS_ALLOW_ALL_ORIGINS = True
CORS_URLS_REGEX = r"^/(v1/|health$|status$)"
CORS_ALLOW_METHODS = ["DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"]
CORS_ALLOW_HEADERS = ["*", "authorization"]  # the wildcard never covers Authorization
CORS_EXPOSE_HEADERS = [
    "X-Request-Id",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "Retry-After",
    "X-CueAPI-Usage-Warning",
    "Idempotent-Replayed",
]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["cueapi.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["cueapi.parsers.JsonParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "cueapi.parsers.AlwaysJson",
    "DEFAULT_SCHEMA_CLASS": "cueapi.openapi.ApiSchema",
    "EXCEPTION_HANDLER": "cueapi.problems.exception_handler",
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS is for CORS; the API is described by its OpenAPI document
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
    "NON_FIELD_ERRORS_KEY": "",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "CueAPI",
    "DESCRIPTION": "Schedule work for AI agents; have it delivered, retried, reported and explained.",
    "VERSION": __version__,
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_SPLIT_PATCH": False,  # what a PATCH may leave out, its serializer says
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "ActorKindEnum": "cueapi.models.ActorKind.values",
        "AuditActionEnum": "cueapi.models.AuditAction.values",
        "BreakerStateEnum": "executions.states.BreakerState.values",
        "CueStatusEnum": ["active", "paused", "completed", "failed"],
        "CueSwitchEnum": ["active", "paused"],
        "ExecutionStatusEnum": "executions.states.Status.values",
        "SubjectTypeEnum": "cueapi.models.SubjectType.values",
        "ServiceStatusEnum": ["healthy", "degraded", "down"],
        "HealthStatusEnum": ["healthy", "degraded"],
    },
}


def admin_list(title: str, icon: str, model: str, seen_by: str = "") -> dict[str, Any]:
    """A line of the admin's side bar: `model` is app_model, for those who may see it, or see `seen_by`."""
    app, _, name = (seen_by or model).rpartition("_")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{model}_changelist"),
        "permission": lambda request: any(request.user.has_perm(f"{app}.{verb}_{name}") for verb in ("view", "change")),
    }


UNFOLD = {
    "SITE_TITLE": "CueAPI",
    "SITE_HEADER": "CueAPI",
    "SITE_SYMBOL": "alarm",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("cueapi/icon.svg")},
    ],
    "STYLES": [lambda request: static("cueapi/console.css")],
    "SITE_URL": "/docs",
    "DASHBOARD_CALLBACK": "executions.admin.overview.facts",
    "SHOW_HISTORY": False,
    "SIDEBAR": {
        "navigation": [
            {
                "items": [
                    admin_list("Executions", "play_circle", "executions_execution"),
                    admin_list("Dead letters", "report", "executions_deadletter", "executions_execution"),
                    admin_list("Cues", "alarm", "cues_cue"),
                    admin_list("Alerts", "notifications", "executions_alert"),
                    admin_list("Destinations", "lan", "executions_destination"),
                    admin_list("Workers", "engineering", "executions_worker"),
                    admin_list("Periodic tasks", "event_repeat", "django_celery_beat_periodictask"),
                    admin_list("Accounts", "group", "cueapi_account"),
                    admin_list("API keys", "key", "cueapi_apikey"),
                    admin_list("Audit trail", "history", "cueapi_auditevent"),
                ]
            }
        ]
    },
}

# --- Mail -------------------------------------------------------------------------------------------------------

EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
DEFAULT_FROM_EMAIL = CUEAPI.default_from_email
if CUEAPI.email_url:
    vars().update(env.email_settings(CUEAPI.email_url))

# --- Celery -----------------------------------------------------------------------------------------------------
# Messages are nudges; rows are the truth. Every task is idempotent, so it may run twice, late, or not at all.
# What differs between Redis or Valkey and RabbitMQ is in `config.brokers`; docs/growing.md says what to change when.

CELERY_BROKER_URL = CUEAPI.broker_url
CELERY_BROKER_TRANSPORT_OPTIONS = brokers.transport_options(CUEAPI.broker_url)
CELERY_BROKER_CONNECTION_TIMEOUT = 3  # seconds
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True  # machines start in any order
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker without a broker waits for it, however long
CELERY_BROKER_HEARTBEAT = 30  # seconds, RabbitMQ only: notices a dead peer after a minute, not after TCP's two hours
CELERY_BROKER_POOL_LIMIT = 10  # connections of one process to publish on; a publish is short, so threads share them

# Acknowledged when done: what a killed worker held, another does. RabbitMQ gives it back at once, Redis after the
# visibility timeout; the sweep is faster than that. RabbitMQ closes the channel of whoever holds a message for 30
# minutes (its consumer_timeout): a delivery's slice lasts half a second, a countdown two minutes, and the longest
# task, ten notifications to receivers that hang, five.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False  # they record what they did all the same
CELERY_TASK_IGNORE_RESULT = True
CELERY_RESULT_EXPIRES = None  # there are no results, so no clean-up task either

# A worker holds as many messages as it has threads, and those with a countdown beside them. More would wait in one
# busy worker while another is idle.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# After a broken connection Celery would raise the prefetch step by step, from the threads that end tasks; on RabbitMQ
# they then read from the socket that the main thread reads from, and the worker hears nothing for two minutes.
CELERY_WORKER_ENABLE_PREFETCH_COUNT_REDUCTION = False
CELERY_WORKER_DETECT_QUORUM_QUEUES = True  # for queues that an operator adds; ours are classic (config.brokers)
CELERY_WORKER_POOL = "threads"  # deliveries wait for receivers; processes would only wait in more memory
CELERY_WORKER_CONCURRENCY = CUEAPI.worker_threads
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False  # its second connection can end a worker whose broker goes away (kombu 5.7)

CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_QUEUES = [brokers.queue(name) for name in ("default", "fire", "retries", "deliver")]  # in this order
CELERY_TASK_CREATE_MISSING_QUEUES = True  # those that an operator names in the admin
CELERY_TASK_PUBLISH_RETRY = False  # beat and web must not wait for a broker that is down; the sweep catches up
CELERY_TIMEZONE = "UTC"

CELERY_BEAT_SCHEDULER = "cues.beat.CueScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
DJANGO_CELERY_BEAT_TZ_AWARE = True

CELERY_BEAT_SCHEDULE = {
    "sweep": {
        "task": "executions.sweep",
        "schedule": 5.0,  # seconds
        "options": {"queue": "default", "expire_seconds": 5},
    },
    "count": {
        "task": "executions.count",
        "schedule": 60.0,  # seconds
        "options": {"queue": "default", "expire_seconds": 60},
    },
    "audit of slots": {
        "task": "executions.audit_slots",
        "schedule": crontab(minute="17", hour="3"),  # in UTC
        "options": {"queue": "default", "expire_seconds": 3600},
    },
    "purge": {
        "task": "executions.purge",
        "schedule": crontab(minute="41"),
        "options": {"queue": "default", "expire_seconds": 600},
    },
}

# --- Logs -------------------------------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "cueapi.logging.LineFormatter"},
        "json": {"()": "cueapi.logging.JsonFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": CUEAPI.log_format}},
    "root": {"handlers": ["stderr"], "level": CUEAPI.log_level},
    "loggers": {
        "celery": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
        "urllib3": {"level": "ERROR"},  # its warnings quote whole URLs, and a query string may hold a secret
        "django.security.DisallowedHost": {"level": "CRITICAL"},
    },
}
