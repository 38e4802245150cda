"""The command as a script sees it: what it wrote to each stream, and how it ended."""

from __future__ import annotations

import json
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apiguard.models import Client, JwtIssuer, Tier


@dataclass(frozen=True, slots=True)
class Said:
    """One run that ended well, or found something."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be JSON and nothing else."""
        return json.loads(self.out)


def apiguard(*arguments: str) -> Said:
    out, err, status = StringIO(), StringIO(), 0
    try:
        call_command("apiguard", *arguments, stdout=out, stderr=err)
    except CommandError as error:
        status = error.returncode
        err.write(str(error))
    return Said(status, out.getvalue(), err.getvalue())


@pytest.fixture
def run(db):
    """``run("key", "list")``, on a migrated, empty database."""
    return apiguard


@pytest.fixture
def acme(db):
    tier = Tier(slug="standard", name="Standard")
    tier.save()
    client = Client(slug="acme", name="Acme", tier=tier)
    client.save()
    return client


@pytest.fixture
def issuer(db):
    row = JwtIssuer(
        name="demo",
        issuer="https://issuer.example",
        audiences=["orders", "other"],
        algorithms=["HS256"],
        secret_name="demo",
    )
    row.save()
    return row
