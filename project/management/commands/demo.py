"""``manage.py demo``: set up the reference site, print how to use it, serve it.

It is safe to run again: rows are created once, credentials are new each time.
"""

from __future__ import annotations

import json
import socket
from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from project.demonstration import Demonstration, set_up

TEXT = """\
Admin       {base_url}/admin/
            user {username}, password {password}
API docs    {base_url}/api/docs/

API keys, shown only now (this run revoked the earlier ones):
  acme      {acme}
  hobby     {hobby}
Token of alice, valid for a day:
  {jwt}

Try these in another terminal:

1. Admitted: acme may write orders (201).
  curl -i -H 'X-API-Key: {acme}' -H 'Content-Type: application/json' -d '{{"item": "tea", "quantity": 2}}' {base_url}/api/orders
2. Refused: hobby may only read them (403).
  curl -i -H 'X-API-Key: {hobby}' -H 'Content-Type: application/json' -d '{{"item": "tea", "quantity": 2}}' {base_url}/api/orders
3. Counted: an export costs 10; the RateLimit headers say what is left (200).
  curl -i -H 'Authorization: Bearer {jwt}' {base_url}/api/export
4. Cross-origin: the preflight of an allowed website (204).
  curl -i -X OPTIONS -H 'Origin: https://app.example.com' -H 'Access-Control-Request-Method: POST' -H 'Access-Control-Request-Headers: content-type, x-api-key' {base_url}/api/orders
"""  # noqa: E501 - lines to paste


def _refuse_taken_port(host: str, port: int) -> None:
    """Check the port before any key is issued: a run revokes the earlier keys.

    Raises:
        CommandError: the port is taken, or this machine has no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"{host} port {port} cannot be served on ({error.strerror}). "
                "Choose another one with --port."
            ) from error


class Command(BaseCommand):
    """Set up the demonstration, print how to use it, serve it."""

    help = "Set up the demonstration and serve it."
    # Checks may read tables that this command is about to create; migrate runs its own.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """``--host --port --setup-only --json``."""
        parser.add_argument("--host", default="127.0.0.1", help="address to serve on")
        parser.add_argument("--port", type=int, default=8000, help="port to serve on")
        parser.add_argument("--setup-only", action="store_true", help="do not serve")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until the server is stopped; with ``--setup-only`` return at once."""
        host, port = options["host"], options["port"]
        if not 1 <= port <= 65535:
            raise CommandError("--port takes a number from 1 to 65535.")
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if not options["setup_only"]:
            _refuse_taken_port(host, port)
        demonstration = set_up(f"http://{address}")
        self._show(demonstration, as_json=options["json"])
        if not options["setup_only"]:
            # The server logs to standard error: standard output is for the caller.
            call_command(
                "runserver",
                address,
                use_reloader=False,
                use_ipv6=":" in host,
                stdout=self.stderr,
                stderr=self.stderr,
            )

    def _show(self, demonstration: Demonstration, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(demonstration.as_dict()))
        else:
            self.stdout.write(
                TEXT.format(
                    base_url=demonstration.base_url,
                    username=demonstration.admin.username,
                    password=demonstration.admin.password,
                    jwt=demonstration.jwt,
                    **demonstration.api_keys,
                )
            )
        self.stdout.flush()
