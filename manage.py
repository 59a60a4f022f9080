#!/usr/bin/env python
"""Django's command line, and ours: `up`, `demo` and `selftest`."""

import os
import sys

from django.core.management import execute_from_command_line

from cueapi import bootstrap

if __name__ == "__main__":
    if sys.argv[1:2] in (["up"], ["demo"]):
        bootstrap.main()  # settings refuse to load without the secrets that this makes
    if sys.argv[1:2] == ["selftest"]:
        bootstrap.lend_secrets()  # it makes an installation of its own and leaves var/ alone
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    execute_from_command_line(sys.argv)
