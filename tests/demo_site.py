"""The reference site as ``manage.py demo`` leaves it, in stores of the tests' own."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.servers import ServerError, manage


@dataclass(frozen=True, slots=True)
class DemoSite:
    """The reference site after ``manage.py demo --setup-only``, ready to be served.

    ``env`` is what ``gunicorn()``, ``uvicorn()`` and ``manage()`` take.
    """

    env: dict[str, str]
    username: str
    password: str
    api_keys: dict[str, str] = field(repr=False)
    jwt: str = field(repr=False)

    def with_env(self, **more: str) -> DemoSite:
        """The same site with more of the environment set."""
        return replace(self, env={**self.env, **more})


def demo_environment(database_url: str, redis_url: str = "") -> dict[str, str]:
    """The environment of a demo site: secrets of the tests, the given stores."""
    env = {
        "SECRET_KEY": "demo-site-secret-key-" * 3,
        "JWT_SECRET": "demo-site-jwt-secret-" * 3,
        "APIGUARD_KEY_PEPPERS": json.dumps({"demo": "demo-site-pepper-" * 3}),
        "DATABASE_URL": database_url,
        "DEMO": "true",
    }
    return {**env, "REDIS_URL": redis_url} if redis_url else env


def make_demo_site(database_url: str, redis_url: str = "") -> DemoSite:
    """Set the demonstration up in the given stores.

    Raises:
        ServerError: the command failed.
    """
    env = demo_environment(database_url, redis_url)
    done = manage("demo", "--setup-only", "--json", env=env)
    if done.returncode:
        raise ServerError(f"manage.py demo failed:\n{done.stdout}{done.stderr}")
    said = json.loads(done.stdout)
    return DemoSite(env, **said["admin"], api_keys=said["api_keys"], jwt=said["jwt"])


def make_template(folder: Path) -> tuple[DemoSite, Path]:
    """A demo site in a SQLite file that nobody serves, so that it can be copied."""
    path = folder / "site.sqlite3"
    return make_demo_site(f"sqlite:///{path}"), path


def copy_of(template: tuple[DemoSite, Path], folder: Path) -> DemoSite:
    """The same site on a database of its own in ``folder``."""
    site, path = template
    shutil.copyfile(path, folder / path.name)
    return site.with_env(DATABASE_URL=f"sqlite:///{folder / path.name}")
