"""The Celery app: `celery -A config worker`, `celery -A config beat`."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

from config.databases import is_pooled
from cueapi.broker_watch import BrokerWatch

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("cueapi")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["consumer"].add(BrokerWatch)


@app.on_after_configure.connect
def keep_database_connections(sender: Celery, **kwargs: Any) -> None:
    """Closing one after each task halves the rate, except into a pool, which is glad of it."""
    if not is_pooled(settings.DATABASES["default"]):
        sender.conf["CELERY_DB_REUSE_MAX"] = 1000  # tasks; Celery reads this old name


@setup_logging.connect
def keep_django_logging(**kwargs: Any) -> None:
    """Connecting here is enough: Celery then leaves logging as Django configured it."""
