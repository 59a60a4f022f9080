"""How the parts are put together: settings, URLs, Celery, WSGI. No app imports this package."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
