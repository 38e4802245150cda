"""``export``, ``plan`` and ``apply`` as a person and a scheduled job use them."""

from __future__ import annotations

import io
import sys

import pytest

from apiguard.models import (
    ApiKey,
    Client,
    CorsPolicy,
    Limit,
    LimitOverride,
    PolicyChange,
    PolicyState,
    Route,
    Tier,
)


@pytest.fixture
def exported(run, tmp_path):
    """The recommended policy, and the file that was exported of it."""
    run("baseline")
    file = tmp_path / "policy.yaml"
    file.write_text(run("export").out)
    return file


def edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def revision():
    return PolicyState.objects.get().revision


def test_what_was_exported_does_not_differ(run, exported):
    before = revision()
    planned = run("plan", str(exported))
    assert (planned.status, planned.err) == (0, "")
    assert f"Revision {before}." in planned.out
    assert "Nothing to change" in run("apply", str(exported)).out
    assert revision() == before


def test_a_change_is_planned_and_applied(run, exported):
    edit(exported, "mode: observe", "mode: enforce")
    planned = run("plan", str(exported))
    assert planned.status == 1
    assert "~ route 'api'\n    mode: observe -> enforce\n" in planned.out
    assert Route.objects.get().mode == "observe"
    before = revision()
    applied = run("apply", str(exported), "--expect", str(before))
    assert (applied.status, revision()) == (0, before + 1)
    assert Route.objects.get().mode == "enforce"
    assert run("plan", str(exported)).status == 0


def test_a_plan_says_what_becomes_of_single_clients(run, tmp_path):
    tier = Tier.objects.create(slug="free", name="Free")
    limit = Limit.objects.create(tier=tier, name="per-hour", amount=1000, period=3600)
    acme = Client.objects.create(slug="acme", name="Acme", tier=tier, enabled=False)
    other = Client.objects.create(slug="other", name="Other", tier=tier)
    LimitOverride.objects.create(client=other, limit=limit, amount=10)
    file = tmp_path / "policy.yaml"
    file.write_text(run("export", "--clients").out)
    Client.objects.filter(pk=acme.pk).update(enabled=True)
    LimitOverride.objects.all().delete()
    does = [(each["kind"], each["text"]) for each in run("plan", str(file), "--json").json["does"]]
    assert does == [
        ("closes", "The keys of “Acme” are refused from now on."),
        ("changes", "“Other” may use 10 per hour instead of 1,000 per hour (per-hour)."),
    ]
    run("apply", str(file))
    edit(file, "enabled: false", "enabled: true")
    edit(file, "amount: 10\n", "amount: 5000\n")
    does = [(each["kind"], each["text"]) for each in run("plan", str(file), "--json").json["does"]]
    assert does == [
        ("opens", "The keys of “Acme” are accepted."),
        ("opens", "“Other” may use 5,000 per hour instead of 10 per hour (per-hour)."),
    ]


def test_a_plan_says_what_applying_and_pruning_do_to_requests(run, exported):
    tier = Tier.objects.get(slug="free")
    Limit.objects.create(tier=tier, name="per-hour", amount=1000, period=3600)
    edit(exported, "mode: observe", "mode: enforce")
    planned = run("plan", str(exported)).out
    assert "What it does:\n" in planned
    does, pruning = planned.split("Not in the file")
    assert "/api/" in does.split("What it does:")[1]
    assert "- limit 'free/per-hour': counters and overrides of limit 'free/per-hour'" in pruning
    # Another limit is as strict only for bursts, so that deleting this one opens something.
    assert "What deleting them does:\n  opens: " in pruning
    data = run("plan", str(exported), "--json").json
    assert data["does"]
    assert data["pruning_does"][0]["kind"] == "opens"
    assert {"kind", "code", "text", "prefixes"} == set(data["does"][0])


def test_standard_input_is_a_file_too(run, exported, monkeypatch):
    edit(exported, "mode: observe", "mode: off")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(exported.read_bytes())))
    assert run("apply", "-").status == 0
    assert Route.objects.get().mode == "off"


def test_a_policy_that_moved_is_left_alone(run, exported):
    edit(exported, "mode: observe", "mode: enforce")
    expected = revision()
    Tier.objects.create(slug="another", name="Another")
    refused = run("apply", str(exported), "--expect", str(expected))
    assert refused.status == 1
    assert f"Revision {expected} was expected" in refused.err
    assert Route.objects.get().mode == "observe"
    assert revision() == expected + 1


def test_a_file_makes_one_revision_whatever_it_changes(run, exported, tmp_path):
    other = tmp_path / "more.yaml"
    other.write_text(
        "tiers:\n"
        "- slug: partners\n  name: Partners\n"
        "  limits:\n  - name: per-minute\n    amount: 300\n    period: 60\n    route: partners\n"
        "routes:\n"
        "- name: partners\n  path_prefix: /partners\n  anonymous_tier: partners\n"
        "- name: api\n  path_prefix: /api/\n"
    )
    before = revision()
    assert run("apply", str(other)).status == 0
    assert revision() == before + 1
    changes = PolicyChange.objects.filter(revision=before + 1)
    assert {change.action for change in changes} == {"created", "changed"}
    assert {change.actor_name for change in changes} == {"apiguard apply (command line)"}
    assert {change.reason for change in changes} == {"Applied more.yaml."}
    assert Limit.objects.get(tier__slug="partners").route.path_prefix == "/partners/"
    # What a file leaves out of a row has its default.
    assert Route.objects.get(name="api").cors_policy is None


def test_rows_that_are_not_in_the_file_stay_without_prune(run, exported):
    Tier.objects.create(slug="extra", name="Extra")
    planned = run("plan", str(exported), "--json")
    assert planned.status == 1
    assert planned.json["not_in_file"] == [{"section": "tiers", "name": "extra", "lost": None}]
    assert "kept: tier 'extra'" in run("apply", str(exported)).out
    assert Tier.objects.filter(slug="extra").exists()
    assert "Deleted tier 'extra'" in run("apply", str(exported), "--prune").out
    assert not Tier.objects.filter(slug="extra").exists()


def test_a_renamed_limit_keeps_its_counters_and_overrides(run, exported):
    limit = Limit.objects.get(tier__slug="free")
    client = Client.objects.create(slug="acme", name="Acme", tier=limit.tier)
    LimitOverride.objects.create(client=client, limit=limit, amount=5)
    edit(exported, "slug: free", "slug: starter\n  was: free")
    edit(exported, "user_tier: free", "user_tier: starter")
    text = exported.read_text().split("slug: starter")
    text[1] = text[1].replace("- name: per-minute", "- name: minutely\n    was: per-minute", 1)
    exported.write_text("slug: starter".join(text))
    planned = run("plan", str(exported)).out
    assert "~ tier 'starter' (was 'free')" in planned
    assert "~ limit 'starter/minutely' (was 'free/per-minute')" in planned
    assert "lost" not in planned
    assert run("apply", str(exported)).status == 0
    renamed = Limit.objects.get(pk=limit.pk)
    assert (renamed.name, renamed.tier.slug) == ("minutely", "starter")
    assert LimitOverride.objects.get().limit_id == limit.pk
    # The file may go on to say what the row was.
    assert run("plan", str(exported)).status == 0


def test_a_limit_of_another_name_is_another_limit(run, exported):
    limit = Limit.objects.get(tier__slug="free")
    client = Client.objects.create(slug="acme", name="Acme", tier=limit.tier)
    LimitOverride.objects.create(client=client, limit=limit, amount=5)
    text = exported.read_text().split("slug: free")
    text[1] = text[1].replace("- name: per-minute", "- name: minutely", 1)
    exported.write_text("slug: free".join(text))
    planned = run("plan", str(exported)).out
    assert "- limit 'free/per-minute': counters and overrides (1) of limit" in planned
    assert "add to it: was: per-minute" in planned


def test_a_route_that_takes_the_prefix_of_one_that_goes_is_asked_for_its_former_name(run, exported):
    edit(exported, "- name: api\n  path_prefix", "- name: orders\n  path_prefix")
    refused = run("plan", str(exported))
    assert (refused.status, refused.out) == (2, "")
    assert "add: was: api" in refused.err


def test_clients_are_written_only_if_asked_for(run, exported, tmp_path):
    tier = Tier.objects.get(slug="free")
    client = Client.objects.create(slug="acme", name="Acme", tier=tier)
    LimitOverride.objects.create(client=client, limit=tier.limits.get(), amount=5)
    assert "acme" not in run("export").out
    file = tmp_path / "all.yaml"
    file.write_text(run("export", "--clients").out)
    assert run("plan", str(file)).status == 0
    edit(file, "amount: 5\n", "amount: 7\n    until: 2030-01-01T00:00:00Z\n")
    assert "~ limit override 'acme/free/per-minute'" in run("plan", str(file)).out
    assert run("apply", str(file)).status == 0
    override = LimitOverride.objects.get()
    assert (override.amount, override.until.isoformat()) == (7, "2030-01-01T00:00:00+00:00")
    # A file without the section says nothing about clients.
    assert run("plan", str(exported)).status == 0


def test_a_client_with_keys_is_never_pruned(run, tmp_path, acme):
    ApiKey.objects.issue(acme, "key")
    file = tmp_path / "none.yaml"
    file.write_text("clients: []\n")
    refused = run("apply", str(file), "--prune")
    assert refused.status == 2
    assert "client 'acme' has keys (1)" in refused.err
    assert Client.objects.exists()


def test_a_tier_that_has_clients_is_not_pruned(run, tmp_path, acme):
    file = tmp_path / "none.yaml"
    file.write_text("tiers: []\n")
    refused = run("apply", str(file), "--prune")
    assert refused.status == 2
    assert "tier 'standard' still has clients (1)" in refused.err


def test_neither_keys_nor_secrets_are_exported(run, issuer, acme, exported):
    _key, secret = ApiKey.objects.issue(acme, "key")
    issuer.fetched_jwks = {"keys": []}
    issuer.jwks = {"keys": [{"kty": "RSA", "n": "x", "d": "private-part"}]}
    issuer.save()
    for options in ([], ["--format", "json"], ["--clients"]):
        text = run("export", *options).out
        for hidden in (secret, _key.key_id, _key.digest, "private-part", "fetched"):
            assert hidden not in text
    assert "secret_name: demo  # a name in APIGUARD['JWT_SECRETS']" in run("export").out


def test_json_is_read_without_pyyaml(run, exported, tmp_path, monkeypatch):
    file = tmp_path / "policy.json"
    file.write_text(run("export", "--format", "json").out)
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert run("plan", str(file)).status == 0
    refused = run("plan", str(exported))
    assert refused.status == 2
    assert "pip install 'apiguard-django[yaml]'" in refused.err
    assert "cors_policies:" in run("export").out


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("mode: observe", "mode: observ", "line 123, column 9, routes[0].mode: Value 'observ'"),
        ("accepts:", "acepts:", "routes[0].acepts: 'acepts' is no field. Did you mean 'accepts'?"),
        ("routes:", "rutes:", "rutes: 'rutes' is no section. Did you mean 'routes'?"),
        ("cost: 1", "cost: true", "This is True, not a whole number."),
        ("  path_prefix: /api/\n", "", "The route has no path_prefix."),
        ("user_tier: free", "user_tier: fre", "There is no tier 'fre'. Did you mean 'free'?"),
        ("path_prefix: /api/", "path_prefix: /api/?x", "query"),
        ("- GET", "- get", "upper case"),
        ("- name: api\n  path", "- name: api\n  name: b\n  path", "'name' stands here twice."),
        ("version: 1", "version: 2", "This release reads version 1."),
    ],
)
def test_a_mistake_is_named_with_its_place_and_changes_nothing(run, exported, old, new, text):
    edit(exported, old, new)
    before = revision()
    for command in ("plan", "apply"):
        refused = run(command, str(exported))
        assert (refused.status, refused.out) == (2, "")
        assert text in refused.err
    assert revision() == before
    as_json = run("plan", str(exported), "--json")
    assert as_json.status == 2


def test_a_file_that_is_not_there_is_named(run, tmp_path):
    refused = run("plan", str(tmp_path / "none.yaml"))
    assert refused.status == 2
    assert "cannot be read" in refused.err


def test_what_was_wrong_before_does_not_stand_in_the_way(run, exported):
    CorsPolicy.objects.update(allowed_methods=["patch"])
    exported.write_text(run("export").out)
    edit(exported, "mode: observe", "mode: enforce")
    assert run("apply", str(exported)).status == 0
    assert Route.objects.get().mode == "enforce"
