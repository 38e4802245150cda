"""What rows say of themselves: to forms at the field, to programs as values."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.forms import modelform_factory
from django.test import override_settings
from django.test.utils import isolate_apps
from django.utils import timezone

from apiguard.errors import PolicyError, ScopeError
from apiguard.models import (
    AllowedOrigin,
    ApiKey,
    Client,
    CorsPolicy,
    HeaderPolicy,
    HourlyCount,
    JwtIssuer,
    Limit,
    LimitOverride,
    ResponseHeader,
    Route,
    Tier,
    issuers,
)
from apiguard.rules import keys as key_rules


@pytest.mark.parametrize(
    ("row", "field"),
    [
        pytest.param(Route(name="a", path_prefix="api/*"), "path_prefix", id="path prefix"),
        pytest.param(Route(name="a", path_prefix="/a/", cost=0), "cost", id="cost"),
        pytest.param(Route(name="a", path_prefix="/a/", methods=["get"]), "methods", id="methods"),
        pytest.param(CorsPolicy(name="a", allowed_headers=["*"]), "allowed_headers", id="headers"),
        pytest.param(AllowedOrigin(pattern="a.example"), "pattern", id="origin"),
        pytest.param(ResponseHeader(name="A B", value="c"), "name", id="header name"),
        pytest.param(ResponseHeader(name="A", value="c\n"), "value", id="header value"),
        pytest.param(ResponseHeader(name="X-Request-ID", value="c"), "name", id="the id's header"),
        pytest.param(Limit(name="a", amount=0, period=1), "amount", id="amount"),
        pytest.param(Limit(name="a", amount=1), "period", id="period"),
        pytest.param(Limit(name="a", amount=1, kind="quota"), "calendar", id="calendar"),
        pytest.param(Client(slug="a", name="a", acts_as_owner=True), "acts_as_owner", id="owner"),
        pytest.param(
            Client(slug="a", name="a", allowed_networks=["x"]), "allowed_networks", id="network"
        ),
        pytest.param(LimitOverride(amount=0), "amount", id="override"),
        pytest.param(ApiKey(name="a", scopes=["a b"]), "scopes", id="scopes of a key"),
        pytest.param(JwtIssuer(name="a", issuer="a"), "audiences", id="audiences"),
        pytest.param(
            JwtIssuer(name="a", issuer="a", audiences=["a"], algorithms=["HS256"], leeway=999),
            "leeway",
            id="leeway",
        ),
    ],
)
def test_a_mistake_is_reported_at_its_field(row, field):
    assert field in {problem.field for problem in row.problems()}
    with pytest.raises(ValidationError) as raised:
        row.clean()
    assert field in raised.value.message_dict


def test_no_row_sets_the_header_that_carries_the_request_id():
    row = ResponseHeader(name="x-correlation-id", value="1")
    assert row.problems() == []
    with override_settings(APIGUARD={"REQUEST_ID_HEADER": "X-Correlation-ID"}):
        assert [(one.field, one.code) for one in row.problems()] == [("name", "forbidden_header")]


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        pytest.param(Limit(name="a", amount=None, period=60), {"amount"}, id="nothing"),
        pytest.param(Limit(name="a", amount="5", period=60), {"amount"}, id="text for a number"),
        pytest.param(Limit(name="a", amount=True, period=60), {"amount"}, id="a boolean"),
        pytest.param(Limit(name=5, amount=5, period=60), {"name"}, id="a number for text"),
        pytest.param(
            Limit(name="a", amount=5, period=60, mode="x", on_store_failure=""),
            {"mode", "on_store_failure"},
            id="no choice",
        ),
        pytest.param(Client(slug="a", name="a", enabled=1), {"enabled"}, id="no boolean"),
        pytest.param(ApiKey(name="a", expires_at="soon"), {"expires_at"}, id="no instant"),
        pytest.param(Route(name="a", path_prefix="/a/", max_body_bytes=None), set(), id="null"),
        pytest.param(Limit(name="a", amount=5, period=60, calendar=""), set(), id="blank"),
    ],
)
def test_a_value_of_a_wrong_type_is_a_problem_and_no_exception(row, fields):
    assert {problem.field for problem in row.problems()} == fields
    assert all(isinstance(problem, PolicyError) for problem in row.problems())


def test_a_form_with_an_empty_number_says_so_once():
    form = modelform_factory(Limit, fields=["name", "kind", "amount", "period"])(
        {"name": "per-minute", "kind": "window", "amount": "", "period": "60"}
    )
    assert form.errors == {"amount": ["This field is required."]}


@pytest.mark.django_db
@pytest.mark.parametrize("written", ["/api", "/api/"])
def test_a_prefix_is_stored_and_found_in_its_canonical_form(written):
    Route.objects.create(name="a", path_prefix=written)
    assert Route.objects.get(path_prefix="/api").path_prefix == "/api/"
    with pytest.raises(IntegrityError), transaction.atomic():
        Route.objects.create(name="b", path_prefix="/api")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        pytest.param("a\nb", ["a", "b"], id="lines"),
        pytest.param(" a ,b\r\n\n a", ["a", "b"], id="commas, spaces, twice"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_a_list_is_typed_one_per_line(typed, expected):
    field = Route._meta.get_field("methods").formfield()
    assert field.clean(typed) == expected
    assert field.clean(field.prepare_value(expected)) == expected
    assert not field.has_changed(expected, typed)
    assert field.has_changed(["z"], typed)


@pytest.mark.parametrize(
    ("scopes", "registry", "wrong"),
    [
        pytest.param(["a"], None, [], id="no registry"),
        pytest.param(["a"], ["a"], [], id="registered"),
        pytest.param(["a", "b"], ["a"], ["b"], id="not registered"),
    ],
)
def test_scopes_have_to_be_registered_where_there_is_a_registry(scopes, registry, wrong):
    with override_settings(APIGUARD={"SCOPES": registry}):
        for row in (
            Route(name="a", path_prefix="/a/", required_scopes=scopes),
            ApiKey(name="a", scopes=scopes),
        ):
            assert [problem.value for problem in row.problems()] == wrong


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        pytest.param({"amount": 100, "period": 60}, "100 per minute", id="window"),
        pytest.param(
            {"amount": 5, "kind": "quota", "calendar": "month"}, "5 per calendar month", id="quota"
        ),
    ],
)
def test_a_limit_says_its_rate(fields, says):
    assert says in Limit(name="a", **fields).rate


@pytest.mark.django_db
def test_a_header_is_in_a_policy_once_whatever_its_case():
    policy = HeaderPolicy.objects.create(name="h")
    ResponseHeader.objects.create(policy=policy, name="X-A", value="1")
    with pytest.raises(IntegrityError), transaction.atomic():
        ResponseHeader.objects.create(policy=policy, name="x-a", value="2")


@pytest.mark.django_db
def test_a_header_is_in_a_policy_once_for_the_same_types():
    policy = HeaderPolicy.objects.create(name="h")
    ResponseHeader.objects.create(policy=policy, name="X-A", value="1")
    fields = {"policy": policy, "value": "2", "content_types": ["text/html"]}
    ResponseHeader.objects.create(name="X-A", **fields)
    twice = ResponseHeader(name="x-a", **fields)
    with pytest.raises(ValidationError, match="same types"):
        twice.full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        twice.save()
    ResponseHeader(**{**fields, "name": "x-a", "content_types": ["text/css"]}).full_clean()


@pytest.mark.parametrize(
    ("limit", "fields", "odd"),
    [
        pytest.param(100, {"max_body_bytes": 101}, True, id="more than Django takes"),
        pytest.param(100, {"max_body_bytes": 100}, False, id="as much"),
        pytest.param(100, {"max_body_bytes": None}, False, id="not checked"),
        pytest.param(None, {"max_body_bytes": 10**12}, False, id="Django takes everything"),
        pytest.param(
            100,
            {"max_body_bytes": 101, "accepts": ["multipart/form-data"]},
            False,
            id="files alone, which Django does not count",
        ),
        pytest.param(
            100,
            {"max_body_bytes": 101, "accepts": ["multipart/form-data", "application/json"]},
            True,
            id="files, and more",
        ),
    ],
)
def test_a_route_that_permits_more_than_django_takes_is_odd(limit, fields, odd):
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=limit):
        found = Route(name="a", path_prefix="/api/", **fields).oddities()
    assert [problem.code for problem in found] == ["above_djangos_limit"] * odd


@pytest.mark.django_db
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"amount": 0, "period": 60}, id="amount"),
        pytest.param({"amount": 1}, id="a window without a period"),
        pytest.param({"amount": 1, "kind": "quota", "calendar": "year"}, id="a calendar"),
    ],
)
def test_the_database_refuses_a_limit_that_cannot_be_counted(fields):
    tier = Tier.objects.create(slug="t", name="T")
    with pytest.raises(IntegrityError), transaction.atomic():
        Limit.objects.create(tier=tier, name="a", **fields)


# -- issuers -----------------------------------------------------------------------------


def _wrong_user_field(name):
    row = JwtIssuer(name="a", issuer="a", audiences=["a"], algorithms=["HS256"], user_field=name)
    return [problem for problem in row.problems() if problem.field == "user_field"]


@pytest.mark.parametrize("name", ["", "username", "id", "pk"])
def test_a_subject_may_be_held_against_a_field_that_names_one_user(name):
    assert _wrong_user_field(name) == []


@pytest.mark.parametrize(
    "name",
    [
        "email",
        "is_superuser",
        "username__startswith",
        "id__gt",
        "pk__in",
        "groups",
        "logentry",
        "nope",
        "_id",
    ],
)
def test_a_subject_is_held_against_no_other_field(name):
    (problem,) = _wrong_user_field(name)
    assert (problem.code, problem.value) == ("bad_user_field", name)
    assert "id, username" in problem.hint


@isolate_apps("tests")
def test_unique_is_what_the_database_keeps_unique(monkeypatch):
    class Member(models.Model):
        email = models.EmailField(unique=True)
        number = models.CharField(max_length=9)
        badge = models.CharField(max_length=9)
        desk = models.CharField(max_length=9)
        the_boss = models.BooleanField(unique=True)

        class Meta:
            app_label = "tests"
            constraints = (
                models.UniqueConstraint(fields=["number"], name="one"),
                models.UniqueConstraint(fields=["badge", "desk"], name="both"),
                models.UniqueConstraint(
                    fields=["desk"], name="some", condition=models.Q(the_boss=True)
                ),
            )

    monkeypatch.setattr(issuers, "get_user_model", lambda: Member)
    names = ("id", "email", "number", "badge", "desk", "the_boss", "username")
    assert [name for name in names if not _wrong_user_field(name)] == ["id", "email", "number"]


# -- keys --------------------------------------------------------------------------------


@pytest.fixture
def client(db):
    return Client.objects.create(slug="acme", name="Acme")


def test_an_issued_key_is_stored_as_a_digest_alone(client):
    key, text = ApiKey.objects.issue(client, "k", ["b:c", "a:b"])
    stored = ApiKey.objects.get()
    assert text.startswith("ag_live_")
    assert key_rules.parse(text, "ag").key_id == stored.key_id == key.key_id
    assert stored.scopes == ["a:b", "b:c"]
    assert stored.pepper_id == "tests"
    for value in vars(stored).values():
        assert text not in str(value)


@override_settings(APIGUARD={"KEY_PEPPERS": {}, "POLICY_MAX_AGE": None})
def test_without_a_pepper_a_key_names_none(client):
    assert ApiKey.objects.issue(client, "k")[0].pepper_id == ""


@pytest.mark.parametrize(
    ("scopes", "error"),
    [
        pytest.param("a:b", ScopeError, id="a string"),
        pytest.param(["a b"], ScopeError, id="a space"),
        pytest.param(["c:d"], ValidationError, id="not registered"),
    ],
)
def test_a_key_with_a_bad_scope_is_not_issued(client, scopes, error):
    with (
        override_settings(APIGUARD={"SCOPES": ["a:b"], "POLICY_MAX_AGE": None}),
        pytest.raises(error),
    ):
        ApiKey.objects.issue(client, "k", scopes)
    assert not ApiKey.objects.exists()


def test_a_rotated_key_ends_at_once_or_when_its_grace_is_over(client, django_user_model):
    user = django_user_model.objects.create(username="ann")
    first, _ = ApiKey.objects.issue(client, "k", ["a:b"], allowed_networks=["192.0.2.0/24"])
    second, _ = first.rotate(grace=timedelta(hours=1))
    assert first.revoked_at is None
    assert first.expires_at > timezone.now()
    assert (second.scopes, second.allowed_networks) == (["a:b"], ["192.0.2.0/24"])
    assert second.replaces == first
    third, _ = second.rotate(by=user, reason="leaked")
    assert (second.revoked_by, second.revoke_reason) == (user, "leaked")
    assert set(ApiKey.objects.usable()) == {first, third}


def test_grace_never_makes_a_key_live_longer(client):
    soon = timezone.now() + timedelta(minutes=1)
    key, _ = ApiKey.objects.issue(client, "k", expires_at=soon)
    key.rotate(grace=timedelta(days=1))
    assert key.expires_at == soon


@pytest.mark.parametrize(
    ("begins", "ends", "usable"),
    [
        pytest.param(None, None, True, id="plain"),
        pytest.param(1, None, False, id="not yet"),
        pytest.param(None, -1, False, id="expired"),
        pytest.param(-1, 1, True, id="now"),
    ],
)
def test_usable_keys_are_those_that_can_still_do_something(client, begins, ends, usable):
    now, hour = timezone.now(), timedelta(hours=1)
    key, _ = ApiKey.objects.issue(
        client,
        "k",
        not_before=begins and now + begins * hour,
        expires_at=ends and now + ends * hour,
    )
    assert (key in ApiKey.objects.usable(now)) is usable
    key.revoke("lost")
    assert key not in ApiKey.objects.usable(now)


def test_a_digest_is_replaced_only_if_it_is_still_the_old_one(client):
    key, _ = ApiKey.objects.issue(client, "k")
    rehash = ApiKey.objects.rehash
    assert rehash(key.pk, old_digest="other", digest="0" * 64, pepper_id="p") == 0
    assert rehash(key.pk, old_digest=key.digest, digest="0" * 64, pepper_id="p") == 1
    assert ApiKey.objects.get().digest == "0" * 64


# -- numbers ---------------------------------------------------------------------------------


@pytest.mark.django_db
def test_counts_of_one_hour_grow_and_other_hours_begin_anew():
    at = timezone.now().replace(minute=10)
    for moment in (at, at.replace(minute=50), at + timedelta(hours=1)):
        HourlyCount.objects.add(moment, 1, "a", True, 2)
    assert [row.count for row in HourlyCount.objects.order_by("hour")] == [4, 2]
