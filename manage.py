#!/usr/bin/env python
"""Django's command line for the reference site.

Two things work in a fresh checkout, without any secret in the environment:
``demo``, which writes the secrets to a file before the settings are read, and
the help of every command. Any other command ends with one line that says
which secret is missing.
"""

from __future__ import annotations

import os
import secrets
import sys

from project.secrets_file import ensure_secrets

HELP = {"help", "--help", "-h"}


def main() -> None:
    """Run the command that ``sys.argv`` names."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    if HELP.intersection(sys.argv[1:]):
        # Printing help signs nothing, so any key will do for this process.
        os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(48))
    elif sys.argv[1:2] == ["demo"]:
        ensure_secrets()
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
