"""Clients from the command line."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from apiguard.models import Client, PolicyChange


def test_a_client_is_created_with_its_tier_and_owner(run, acme):
    User.objects.create_user("ann")
    done = run("client", "create", "globex", "--tier", "standard", "--owner", "ann", "--json")
    client = Client.objects.get(slug="globex")
    assert (done.status, done.json) == (
        0,
        {"client": "globex", "id": client.pk, "tier": "standard"},
    )
    assert (client.name, client.tier, client.owner.username) == ("globex", acme.tier, "ann")
    assert not client.acts_as_owner
    assert PolicyChange.objects.first().actor_name == "apiguard client create (command line)"


def test_a_client_without_a_tier_is_reported_to_be_unlimited(run):
    done = run("client", "create", "globex", "--name", "Globex Corporation")
    assert "not limited" in done.out
    assert "apiguard key create globex" in done.err
    assert Client.objects.get().name == "Globex Corporation"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["acme"], "already exists"),
        (["not a slug"], "slug"),
        (["globex", "--tier", "standart"], "Did you mean 'standard'?"),
        (["globex", "--owner", "nobody"], "There is no user 'nobody'"),
    ],
)
def test_what_cannot_be_created_is_refused_and_nothing_is_written(run, acme, arguments, text):
    done = run("client", "create", *arguments)
    assert (done.status, done.out) == (2, "")
    assert text in done.err
    assert Client.objects.get() == acme
