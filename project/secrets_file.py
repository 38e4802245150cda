"""Secrets of a demonstration, made up once and kept beside the code.

The settings take ``SECRET_KEY`` and ``JWT_SECRET`` from the environment. Who
only wants to look has neither, so ``manage.py demo`` writes random ones to a
git-ignored file that its owner alone can read. This module is imported before
settings are, and therefore knows nothing of Django.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

# Named by the settings; KEY_PEPPER comes along so that demo keys are peppered like real ones.
WANTED = ("SECRET_KEY", "JWT_SECRET")
WRITTEN = (*WANTED, "KEY_PEPPER")


def secrets_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the file is: ``SECRETS_FILE``, or ``.env.demo`` at the checkout's top."""
    return Path(environ.get("SECRETS_FILE") or CHECKOUT / ".env.demo")


def read_secrets(path: Path) -> dict[str, str]:
    """The ``NAME=value`` lines of the file; nothing, if there is no file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if not line.startswith("#"))
    return {name.strip(): value.strip() for name, separator, value in pairs if separator}


def ensure_secrets(environ: Mapping[str, str] = os.environ) -> None:
    """Write what neither the environment nor the file has; change nothing that is there."""
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
