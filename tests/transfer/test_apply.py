"""A file becomes the policy, and the policy becomes the same file."""

from __future__ import annotations

import json
import os
import random
from contextlib import contextmanager

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from apiguard.history.apply import apply_undo, locked
from apiguard.history.replay import find_unrecorded
from apiguard.history.undo import of_revision, plan_undo
from apiguard.models import (
    AllowedOrigin,
    Client,
    JwtIssuer,
    Limit,
    PolicyChange,
    PolicyState,
    Route,
    Tier,
)
from apiguard.policy.compile import compile_rows
from apiguard.transfer.apply import PlanRefused, RevisionMoved, apply_document
from apiguard.transfer.documents import Document, read_document
from apiguard.transfer.entries import read_policy
from apiguard.transfer.export import as_json, as_yaml
from apiguard.transfer.future_rows import compiled_rows
from apiguard.transfer.plan import make_plan
from apiguard.transfer.sections import BY_MODEL
from tests.policy.random_edits import RandomEdits
from tests.policy.test_build import described
from tests.transfer.random_policies import policies

pytestmark = pytest.mark.django_db

EXAMPLES = int(os.environ.get("APIGUARD_POLICIES", "5"))
few = settings(
    max_examples=EXAMPLES,
    # Shrinking so large a value takes minutes; the seed reproduces it.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@contextmanager
def rolled_back():
    """A database to try things in; empty of policy where it was."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def alice(db):
    return get_user_model().objects.create_user("alice")


def exported():
    return as_yaml(read_policy(), clients=True)


def document(text):
    return read_document(text.encode())


def state():
    return PolicyState.objects.filter(pk=1).values_list("revision", "stamp").first() or (0, "")


def snapshot():
    """The compiled policy with the rows numbered from one, whatever their keys are."""
    policy = read_policy()
    numbers = {}
    for row in sorted(policy.rows.values(), key=lambda row: (type(row).__name__, row.pk)):
        numbered = numbers.setdefault(BY_MODEL[type(row)].name, {})
        numbered[row.pk] = len(numbered) + 1
    for row in policy.rows.values():
        section = BY_MODEL[type(row)]
        for name, target in section.references.items():
            each = section.fields[name]
            if target and getattr(row, each.attname) is not None:
                setattr(row, each.attname, numbers[target][getattr(row, each.attname)])
        if section.parent:
            parent = section.model._meta.get_field(section.parent)
            known = numbers[BY_MODEL[parent.related_model].name]
            setattr(row, parent.attname, known[getattr(row, parent.attname)])
        row.pk = numbers[section.name][row.pk]
    return described(compile_rows(compiled_rows(policy.rows.values())))


@few
@given(seed=st.integers(0, 10**6))
def test_applying_what_was_exported_changes_nothing_whatever_the_policy_is(seed):
    with rolled_back():
        edits = RandomEdits(random.Random(seed))
        for _ in range(20):
            edits.edit()
        before, text = state(), exported()
        assert make_plan(document(text), prune=True).difference.is_empty
        apply_document(document(text), prune=True)
        apply_document(document(as_json(read_policy(), clients=True)), prune=True)
        assert (state(), exported()) == (before, text)


@few
@given(policies())
def test_a_policy_moves_whole_into_an_empty_database(alice, data):
    with rolled_back():
        apply_document(Document(data))
        text, compiled = exported(), snapshot()
        assert make_plan(Document(data)).difference.is_empty
        assert make_plan(document(text)).difference.is_empty
    with rolled_back():
        assert read_policy().rows == {}
        apply_document(document(text))
        assert exported() == text
        again = snapshot()
    with rolled_back():
        # A file sorts by name what the first one did not.
        apply_document(document(text))
        assert snapshot() == again
        assert sorted(again["routes"]) == sorted(compiled["routes"])
        assert len(again["problems"]) == len(compiled["problems"]) == 0


def in_any_order(text):
    """An exported policy without the order of limits and headers, which rows that stay keep."""
    data = document(text).data
    for section, rows in (("tiers", "limits"), ("header_policies", "headers")):
        for row in data[section]:
            row[rows].sort(key=json.dumps)
    return data


@few
@given(policies(), policies())
def test_a_policy_takes_the_place_of_another(alice, first, second):
    with rolled_back():
        apply_document(Document(second))
        wanted = in_any_order(exported())
    with rolled_back():
        apply_document(Document(first))
        before = state()[0]
        assert make_plan(Document(second), prune=True).problems == ()
        apply_document(Document(second), prune=True)
        assert in_any_order(exported()) == wanted
        assert state()[0] - before in (0, 1)
        assert make_plan(Document(second)).difference.is_empty


# -- one transaction, one revision ------------------------------------------------------


def test_what_the_database_refuses_undoes_all_of_it(monkeypatch):
    data = {
        "tiers": [{"slug": "t", "name": "T", "limits": []}],
        "routes": [{"name": "r", "path_prefix": "/r/", "anonymous_tier": "t"}],
    }
    monkeypatch.setattr(Route, "validate_constraints", lambda row: row.validate_unique() or fail())
    with pytest.raises(RuntimeError):
        apply_document(Document(data))
    assert (Tier.objects.count(), state(), PolicyChange.objects.count()) == (0, (0, ""), 0)


def fail():
    raise RuntimeError


def test_rows_of_a_file_refer_to_each_other_in_any_order():
    data = {
        "routes": [{"name": "r", "path_prefix": "/r/", "anonymous_tier": "t"}],
        "tiers": [
            {
                "slug": "t",
                "name": "T",
                "limits": [{"name": "m", "amount": 9, "period": 60, "route": "r"}],
            }
        ],
    }
    apply_document(Document(data))
    assert Limit.objects.get().route.anonymous_tier.slug == "t"


def test_names_move_along_a_chain():
    apply_document(Document({"tiers": [{"slug": slug, "name": slug} for slug in "ab"]}))
    pks = dict(Tier.objects.values_list("slug", "pk"))
    chain = [{"slug": "b", "was": "a", "name": "a"}, {"slug": "c", "was": "b", "name": "b"}]
    apply_document(Document({"tiers": chain}), prune=True)
    assert dict(Tier.objects.values_list("slug", "pk")) == {"b": pks["a"], "c": pks["b"]}
    assert make_plan(Document({"tiers": chain})).difference.is_empty


def tiers(**names):
    return [{"slug": slug, "was": was, "name": name} for slug, (was, name) in names.items()]


def test_two_rows_exchange_their_names_once():
    apply_document(Document({"tiers": [{"slug": "a", "name": "A"}, {"slug": "b", "name": "B"}]}))
    pks = dict(Tier.objects.values_list("slug", "pk"))
    client = Client.objects.create(slug="acme", name="Acme", tier_id=pks["a"])
    swap = Document({"tiers": tiers(b=("a", "A"), a=("b", "B"))})
    revision, _ = apply_document(swap)
    assert revision == state()[0]
    assert dict(Tier.objects.values_list("slug", "pk")) == {"b": pks["a"], "a": pks["b"]}
    assert Client.objects.get(pk=client.pk).tier.slug == "b"
    assert make_plan(swap).difference.is_empty
    assert find_unrecorded("default") == []
    with locked("default"):
        apply_undo(plan_undo(of_revision(revision, "default"), "default"), "default", "a mistake")
    assert dict(Tier.objects.values_list("slug", "pk")) == pks


def test_an_exchange_that_may_have_been_made_already_is_refused():
    apply_document(Document({"tiers": [{"slug": "a", "name": "A"}, {"slug": "b", "name": "B"}]}))
    before = state()
    with pytest.raises(PlanRefused) as refused:
        apply_document(Document({"tiers": tiers(b=("a", "A"), a=("b", "Other"))}))
    assert {problem.code for problem in refused.value.problems} == {"unclear_swap"}
    assert state() == before


def test_three_limits_exchange_their_names_under_a_tier_that_does_too():
    made = {"a": ("x", "y", "z"), "b": ()}
    rows = [
        {"slug": slug, "name": slug.upper(), "limits": [per_minute(name, name) for name in names]}
        for slug, names in made.items()
    ]
    apply_document(Document({"tiers": rows}))
    pks = dict(Limit.objects.values_list("name", "pk"))
    rows = tiers(b=("a", "A"), a=("b", "B"))
    rows[0]["limits"] = [per_minute(new, was) for new, was in zip("yzx", "xyz", strict=True)]
    apply_document(Document({"tiers": rows}))
    found = dict(Limit.objects.filter(tier__slug="b").values_list("name", "pk"))
    assert found == {"y": pks["x"], "z": pks["y"], "x": pks["z"]}
    assert make_plan(Document({"tiers": rows})).difference.is_empty


def per_minute(name, was):
    amount = {"x": 1, "y": 2, "z": 3}[was]
    return {"name": name, **({} if name == was else {"was": was}), "amount": amount, "period": 60}


def test_rows_exchange_a_value_that_only_one_may_have():
    names = {"a": "/a/", "b": "/b/", "c": "/c/"}
    routes = [{"name": name, "path_prefix": path} for name, path in names.items()]
    apply_document(Document({"routes": routes}))
    pks = dict(Route.objects.values_list("name", "pk"))
    moved = {"a": "/b/", "b": "/a/", "new": "/c/"}
    routes = [{"name": name, "path_prefix": path} for name, path in moved.items()]
    with pytest.raises(PlanRefused):
        apply_document(Document({"routes": routes}))  # The route "c" would stay.
    revision, _ = apply_document(Document({"routes": routes}), prune=True)
    assert dict(Route.objects.values_list("name", "path_prefix")) == moved
    assert Route.objects.get(name="a").pk == pks["a"]
    assert make_plan(Document({"routes": routes}), prune=True).difference.is_empty
    assert {change.revision for change in PolicyChange.objects.filter(revision__gt=1)} == {revision}
    assert find_unrecorded("default") == []
    with locked("default"):
        apply_undo(plan_undo(of_revision(revision, "default"), "default"), "default", "a mistake")
    assert dict(Route.objects.values_list("name", "path_prefix")) == names
    assert dict(Route.objects.values_list("name", "pk")) == pks


def test_a_name_that_was_given_away_can_be_used_for_another_row():
    apply_document(Document({"tiers": [{"slug": "a", "name": "A"}]}))
    first = Tier.objects.get()
    data = {"tiers": [{"slug": "a", "name": "New"}, {"slug": "b", "was": "a", "name": "A"}]}
    apply_document(Document(data))
    assert Tier.objects.get(slug="b").pk == first.pk
    assert Tier.objects.get(slug="a").name == "New"
    assert make_plan(Document(data)).difference.is_empty


def test_two_rows_cannot_both_have_been_one():
    apply_document(Document({"tiers": [{"slug": "a", "name": "A"}]}))
    data = [{"slug": slug, "was": "a", "name": "A"} for slug in "bc"]
    with pytest.raises(PlanRefused) as refused:
        apply_document(Document({"tiers": data}))
    assert [problem.code for problem in refused.value.problems] == ["claimed_twice"]


def test_an_expected_revision_is_the_one_before():
    apply_document(Document({"tiers": [{"slug": "a", "name": "A"}]}), expect=0)
    data = Document({"tiers": [{"slug": "a", "name": "B"}]})
    for wrong in (0, 2):
        with pytest.raises(RevisionMoved):
            apply_document(data, expect=wrong)
    assert apply_document(data, expect=1)[0] == state()[0] == 2


def test_keys_that_a_worker_fetches_at_the_same_time_are_kept(alice):
    """``apply`` writes the columns that differ, and no other."""
    issuer = {
        "name": "i",
        "issuer": "https://i.example",
        "audiences": ["api"],
        "algorithms": ["ES256"],
        "jwks_url": "https://keys.example/",
    }
    apply_document(Document({"issuers": [issuer]}))
    mistakes_of = JwtIssuer.validate_constraints

    def fetched_now(row, *args, **kwargs):
        JwtIssuer.objects.filter(pk=row.pk).update(fetched_jwks={"keys": []})
        return mistakes_of(row, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JwtIssuer, "validate_constraints", fetched_now)
        apply_document(Document({"issuers": [{**issuer, "leeway": 7}]}))
    row = JwtIssuer.objects.get()
    assert (row.leeway, row.fetched_jwks) == (7, {"keys": []})


def test_what_would_not_compile_is_refused():
    origins = [{"pattern": "https://*.github.io"}]
    data = {"cors_policies": [{"name": "c", "allow_credentials": True, "origins": origins}]}
    with pytest.raises(PlanRefused):
        apply_document(Document(data))
    assert not AllowedOrigin.objects.exists()
