"""The Celery app: `celery -A config worker`, `celery -A config beat`."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

from cueapi.broker_watch import BrokerWatch

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("cueapi")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf["CELERY_DB_REUSE_MAX"] = (
    1000  # tasks before a worker renews its database connection; Celery reads this old name
)
app.autodiscover_tasks()
app.steps["consumer"].add(BrokerWatch)


@setup_logging.connect
def keep_django_logging(**kwargs: Any) -> None:
    """Connecting here is enough: Celery then leaves logging as Django configured it."""
