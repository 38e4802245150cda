"""An incremental build equals a full one, whatever was written, and costs what it touches."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apiguard.models import AllowedOrigin, CorsPolicy, Limit, Route, Tier
from apiguard.models.state import PendingChange
from apiguard.policy import build, load
from apiguard.policy.snapshot import RouteHeaders
from apiguard.rules.origins import OriginSet
from apiguard.rules.paths import PrefixTable
from tests.models.world import statements
from tests.policy.random_edits import RandomEdits

pytestmark = pytest.mark.django_db

TYPES = ("", "text/html", "application/json")


def read(held):
    """The successor of ``held``, as a request inside this transaction gets it."""
    after = build.incremental(held, load.state()).snapshot
    PendingChange.newest("default").held = after
    return after


def described(value):
    """Everything that a snapshot says, as plain values that can be compared."""
    if isinstance(value, OriginSet):
        return value.any, value.texts(), dict(value._depths)
    if isinstance(value, PrefixTable):
        return described(value._entries)
    if isinstance(value, RouteHeaders):
        typed = value.by_type and [described(value.by_type(of)) for of in TYPES]
        return described(value.http), described(value.https), typed and [t[:2] for t in typed]
    if isinstance(value, Exception):
        return type(value), value.as_dict()
    if is_dataclass(value):
        left_out = ("keyring", "sections")
        names = [field.name for field in fields(value) if field.name not in left_out]
        return {name: described(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {key: described(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [described(one) for one in value]
    return value


@pytest.mark.parametrize("seed", range(5))
def test_an_incremental_build_equals_a_full_one_after_edits_of_every_kind(seed):
    rng = random.Random(seed)
    edits = RandomEdits(rng)
    Tier.objects.create(slug="first", name="First")
    held = build.full().snapshot
    for _ in range(40):
        made = [edits.edit() for _ in range(rng.randint(1, 4))]
        after = read(held)
        assert described(after) == described(build.full().snapshot), made
        # A worker may be several edits behind; what it holds stays as it was.
        held = after if rng.random() < 0.7 else held


def test_what_is_held_stays_as_it_was_while_successors_come_and_go():
    edits = RandomEdits(random.Random(7))
    for _ in range(60):
        edits.edit()
    held = build.full().snapshot
    before = described(held)
    for _ in range(30):
        edits.edit()
        read(held)
    assert described(held) == before


@pytest.fixture
def policy():
    """Two of everything, compiled."""
    for name in ("a", "b"):
        cors = CorsPolicy.objects.create(name=name)
        AllowedOrigin.objects.create(policy=cors, pattern=f"https://{name}.example")
        tier = Tier.objects.create(slug=name, name=name)
        Limit.objects.create(tier=tier, name="m", amount=5, period=60)
        Route.objects.create(
            name=name, path_prefix=f"/{name}/", cors_policy=cors, anonymous_tier=tier
        )
    return build.full().snapshot


def shared(before, after):
    """Which parts of a policy are the same objects in its successor."""
    same = set()
    for name in ("a", "b"):
        old, new = before.routes.find(f"/{name}/"), after.routes.find(f"/{name}/")
        tiers = [snapshot.tiers_by_slug[name] for snapshot in (before, after)]
        same |= {f"route {name}"} if old is new else set()
        same |= {f"cors {name}"} if old.cors is new.cors else set()
        same |= {f"tier {name}"} if tiers[0] is tiers[1] else set()
    return same


@pytest.mark.parametrize(
    ("edit", "anew"),
    [
        pytest.param(lambda: Limit.objects.filter(tier__slug="a").update(amount=6), {"tier a"}),
        pytest.param(
            lambda: AllowedOrigin.objects.get(policy__name="a").delete(), {"cors a", "route a"}
        ),
        pytest.param(lambda: Route.objects.filter(name="a").update(cost=2), {"route a"}),
        pytest.param(lambda: Tier.objects.get(slug="a").save(), {"tier a"}),
        pytest.param(lambda: Route.objects.create(name="c", path_prefix="/c/"), set()),
    ],
    ids=["a limit", "an origin", "a route", "a tier", "a new route"],
)
def test_what_an_edit_does_not_touch_is_shared(policy, edit, anew):
    edit()
    after = build.incremental(policy, load.state()).snapshot
    everything = {f"{part} {name}" for part in ("route", "cors", "tier") for name in ("a", "b")}
    assert everything - shared(policy, after) == anew


def test_only_the_tables_that_changed_are_read(policy):
    Limit.objects.update(amount=6)
    AllowedOrigin.objects.filter(policy__name="a").delete()
    state = load.state()
    with CaptureQueriesContext(connection) as queries:
        build.incremental(policy, state)
    read = [sql.partition(" FROM ")[2].split()[0] for sql in statements(queries)]
    assert read == ['"apiguard_allowedorigin"', '"apiguard_limit"', '"apiguard_policystate"']
