"""The secrets of the demonstration: random, written once to a file beside the code.

The settings take ``SECRET_KEY`` and ``JWT_SECRET`` from the environment. For a
demonstration without them ``manage.py demo`` writes random ones to a
git-ignored file with mode 0600. This module is imported before the settings, so
it does not import Django.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

# The settings require WANTED. KEY_PEPPER is written too, so that demo keys have a pepper.
WANTED = ("SECRET_KEY", "JWT_SECRET")
WRITTEN = (*WANTED, "KEY_PEPPER")


def secrets_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the file: ``SECRETS_FILE``, or ``.env.demo`` in the checkout."""
    return Path(environ.get("SECRETS_FILE") or CHECKOUT / ".env.demo")


def read_secrets(path: Path) -> dict[str, str]:
    """Return the ``NAME=value`` lines of the file; nothing if there is no file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if not line.startswith("#"))
    return {name.strip(): value.strip() for name, separator, value in pairs if separator}


def ensure_secrets(environ: Mapping[str, str] = os.environ) -> None:
    """Write the secrets that neither the environment nor the file has; change no other line."""
    path = secrets_path(environ)
    held = read_secrets(path)
    if all(environ.get(name) or held.get(name) for name in WANTED):
        return
    missing = [name for name in WRITTEN if not held.get(name)]
    # Created with its final mode: a later chmod would leave a moment to read it.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):  # Never a device, such as /dev/null.
            os.fchmod(descriptor, 0o600)
        # An edited file may lack its last line end; an empty line is harmless.
        file.write("\n" if held else "")
        file.writelines(f"{name}={secrets.token_urlsafe(48)}\n" for name in missing)
