"""Settings of the reference site for tests, independent of the developer's environment.

``TEST_DATABASE_URL`` (or ``DATABASE_URL``) chooses the database. Without it each
run makes its own SQLite file, because threads that share an in-memory database
meet locks that no real deployment has.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# Set before the real settings are read. These secrets are for tests only.
os.environ["SECRET_KEY"] = "tests-only-secret-key-" * 3
os.environ["JWT_SECRET"] = "tests-only-jwt-secret-" * 3
os.environ["DEBUG"] = "false"
os.environ["DEMO"] = "true"
os.environ["SECRETS_FILE"] = os.devnull

from project.environment import caches, database
from project.settings import *  # noqa: F403 - settings are a list of names
from project.settings import env

url = env.str("TEST_DATABASE_URL", default="") or env.str("DATABASE_URL", default="")
own_file = Path(tempfile.gettempdir()) / f"apiguard-tests-{os.getpid()}.sqlite3"
DATABASES = {"default": database(env.db_url_config(url or "sqlite://:memory:"))}
if not url:
    DATABASES["default"]["TEST"] = {"NAME": str(own_file)}
    # A test database need not survive a power cut.
    DATABASES["default"]["OPTIONS"]["init_command"] = (
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
    )
CACHES = caches(None)

APIGUARD = {
    "JWT_SECRETS": {"demo": os.environ["JWT_SECRET"]},
    "KEY_PEPPERS": {"tests": "tests-only-pepper-" * 3},
    "POLICY_MAX_AGE": None,
    # The tests of apiguard itself need its threads, its writes and its counters.
    "TESTING": False,
}
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1", "[::1]"]
# Every client of the tests loads the middleware anew: it must not list all static files first.
WHITENOISE_AUTOREFRESH = True
# Whose rows import-api-keys and import-throttle-rates read.
INSTALLED_APPS = [
    *INSTALLED_APPS,  # noqa: F405 - of the real settings
    "rest_framework_api_key",
    "django_smart_ratelimit",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
