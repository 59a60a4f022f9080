"""The WSGI entry point."""

import os

from django.core.wsgi import get_wsgi_application

from cueapi import stopping

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_wsgi_application()
stopping.release_when_asked()
