#!/usr/bin/env python
"""Django's command line for the reference site.

``demo`` is the one command that works on a fresh checkout: the secrets that
the settings refuse to start without are written before they are read.
"""

from __future__ import annotations

import os
import sys

from project.secrets_file import ensure_secrets


def main() -> None:
    """Run the command that ``sys.argv`` names."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    if sys.argv[1:2] == ["demo"]:
        ensure_secrets()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
