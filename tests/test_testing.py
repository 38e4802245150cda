"""Other people's test suites: nothing surprising, and everything enforced that a test asks for."""

from __future__ import annotations

import pytest
from django.core.exceptions import MiddlewareNotUsed
from django.db import connection
from django.test import Client as Browser
from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings
from django.test.utils import CaptureQueriesContext

from apiguard import testing
from apiguard.middleware import ApiGuardMiddleware
from apiguard.models import (
    AllowedOrigin,
    Client,
    CorsPolicy,
    JwtIssuer,
    Limit,
    LimitOverride,
    Route,
    Tier,
)
from apiguard.policy.holder import holder
from apiguard.telemetry.buffer import Buffer
from apiguard.testing import make_key, override_policy, snapshot_of

HEALTH = "/health"


def guarded(**fields):
    return Route(**{"name": "health", "path_prefix": HEALTH, **fields})


def status(**headers):
    return Browser().get(HEALTH, headers=headers).status_code


# -- test suites without a database -----------------------------------------------------


class WithoutDatabase(SimpleTestCase):
    """Any query in here is an error: SimpleTestCase sees to it."""

    def test_a_request_asks_no_database(self):
        assert status() == 200

    def test_policy_is_enforced_inside_the_block_alone(self):
        with override_policy(guarded()):
            assert status() == 401
        assert status() == 200

    def test_blocks_nest_and_the_outer_one_comes_back(self):
        with override_policy(guarded()):
            with override_policy(guarded(access="public")):
                assert status() == 200
            assert status() == 401

    def test_an_error_inside_the_block_ends_it_too(self):
        with pytest.raises(ZeroDivisionError), override_policy(guarded()):
            raise ZeroDivisionError
        assert status() == 200

    def test_a_key_is_known_if_its_row_is_given(self):
        client = Client(slug="acme", name="Acme")
        key, text = make_key(client, scopes=("a:b",))
        _, other = make_key(client)
        with override_policy(guarded(required_scopes=["a:b"]), key):
            assert status(x_api_key=text) == 200
            assert status(x_api_key=other) == 401

    def test_limits_are_counted(self):
        tier = Tier(slug="t", name="T")
        limit = Limit(tier=tier, name="twice", amount=2, period=60)
        with override_policy(guarded(access="public", anonymous_tier=tier), tier, limit):
            assert [status() for _ in range(3)] == [200, 200, 429]

    def test_an_override_of_a_limit_needs_nothing_but_itself(self):
        client = Client(slug="acme", name="Acme", tier=Tier(slug="t", name="T"))
        limit = Limit(tier=client.tier, name="once", amount=1, period=60)
        key, text = make_key(client)
        override = LimitOverride(client=client, limit=limit, amount=2)
        with override_policy(guarded(), key, override):
            assert [status(x_api_key=text) for _ in range(3)] == [200, 200, 429]

    def test_rows_that_others_refer_to_may_be_left_out(self):
        policy = CorsPolicy(name="browsers")
        origin = AllowedOrigin(policy=policy, pattern="https://a.example")
        with override_policy(guarded(access="public", cors_policy=policy), origin):
            assert status(origin="https://a.example") == 200
            assert status(origin="https://b.example") == 403

    def test_rows_can_be_used_again(self):
        row = guarded()
        for _ in range(2):
            with override_policy(row) as snapshot:
                assert snapshot.routes.find(HEALTH).name == "health"

    def test_an_invalid_row_is_refused_with_the_reason(self):
        with (
            pytest.raises(ValueError, match="white space") as raised,
            override_policy(guarded(required_scopes=["a b"], path_prefix=" /x/ ")),
        ):
            pass
        assert "health" in str(raised.value)
        assert status() == 200

    def test_what_is_wrong_with_rows_can_be_looked_at(self):
        problems = snapshot_of(JwtIssuer(name="i", issuer="i")).problems
        assert {problem.model for problem in problems} == {"jwtissuer"}

    def test_settings_switch_everything_off(self):
        with override_settings(APIGUARD={"ENABLED": False}), override_policy(guarded()):
            assert status() == 200
            with pytest.raises(MiddlewareNotUsed):
                ApiGuardMiddleware(lambda request: None)


def test_unsaved_rows_get_keys_that_no_database_hands_out_soon():
    row = guarded()
    snapshot_of(row)
    assert row.pk >= 10**9
    assert testing.snapshot_of(row).routes.find(HEALTH).pk == row.pk


# -- test suites with rollback ---------------------------------------------------------------


class First(TestCase):
    """Policy of a class and of a test, in transactions that are never committed."""

    @classmethod
    def setUpTestData(cls):
        guarded().save()

    def test_policy_of_the_class_is_enforced(self):
        assert status() == 401

    def test_policy_of_a_test_is_enforced_too(self):
        Route.objects.update(access="public")
        assert status() == 200

    def test_and_is_gone_in_the_next(self):
        assert status() == 401

    def test_a_committed_callback_changes_nothing_that_is_enforced(self):
        with self.captureOnCommitCallbacks(execute=True):
            Route.objects.update(access="public")
        assert status() == 200

    def test_policy_that_is_read_once_is_not_read_again(self):
        status()
        with self.assertNumQueries(0):
            status()


class Second(TestCase):
    """Runs after ``First``, whose policy was rolled back."""

    def test_policy_of_another_class_is_gone(self):
        assert status() == 200

    def test_a_view_that_nobody_guards_costs_no_query(self):
        with self.assertNumQueries(0):
            assert status() == 200

    @override_settings(APIGUARD={"ENABLED": False})
    def test_switched_off_it_costs_nothing_whatever_the_policy(self):
        guarded().save()
        with self.assertNumQueries(0):
            assert status() == 200


class Committed(TransactionTestCase):
    """Policy that is committed, and flushed after each test."""

    def test_a_committed_policy_is_enforced(self):
        guarded().save()
        assert status() == 401

    def test_a_flush_forgets_it(self):
        guarded().save()
        assert status() == 401
        self._fixture_teardown()
        with CaptureQueriesContext(connection) as quiet:
            assert status() == 200
        assert len(quiet) == 0


@pytest.mark.django_db(transaction=True)
@override_settings(APIGUARD={"POLICY_MAX_AGE": 1.0})
def test_a_test_process_that_looks_finds_policy_that_it_did_not_write(monkeypatch):
    monkeypatch.setattr(Buffer, "_start", lambda self: None)
    Route._base_manager.bulk_create([guarded(pk=1)])
    holder.forget()
    assert status() == 401


def test_every_override_is_counted_from_nothing():
    tier = Tier(slug="one", name="One")
    rows = (
        Route(name="all", path_prefix="/", access="public", anonymous_tier=tier),
        Limit(tier=tier, name="per-minute", amount=1, period=60),
    )
    for _ in range(2):
        with override_policy(*rows):
            assert [status(), status()] == [200, 429]


# -- what tests say of a response ---------------------------------------------------------


def test_a_refusal_is_asserted_with_its_row():
    with override_policy(guarded(required_scopes=["a"])):
        nobody = Browser().get(HEALTH)
        testing.assert_refused(nobody, "no_credential")
        testing.assert_refused(nobody, "no_credential", by="route health")
        with pytest.raises(AssertionError, match="Not admitted: GET /health was answered 401; "):
            testing.assert_admitted(nobody)


@pytest.mark.parametrize(
    ("outcome", "by", "message"),
    [
        ("scope_missing", None, "Refused, but not as scope_missing: GET /health was answered 401"),
        ("no_credential", "route api", "Refused by route health, not by route api: GET /health"),
    ],
)
def test_another_refusal_than_was_expected_is_named(outcome, by, message):
    with override_policy(guarded()), pytest.raises(AssertionError, match=message):
        testing.assert_refused(Browser().get(HEALTH), outcome, by)


def test_an_admitted_request_is_not_refused():
    with override_policy(guarded(access="public")):
        response = Browser().get(HEALTH)
        testing.assert_admitted(response)
        with pytest.raises(AssertionError, match=r"Not refused as limit_exceeded.*\(route health"):
            testing.assert_refused(response, "limit_exceeded")


def test_time_can_be_made_to_pass_for_limits():
    tier, *limits = testing.make_tier("free", 2)
    with override_policy(guarded(access="public", anonymous_tier=tier), *limits):
        assert [status() for _ in range(3)] == [200, 200, 429]
        testing.fast_forward(30)
        assert status() == 429
        testing.fast_forward(31)
        assert [status() for _ in range(3)] == [200, 200, 429]
        testing.reset_counters()
        assert status() == 200


def test_a_token_is_made_as_the_issuer_s_row_asks_for_it():
    issuer = JwtIssuer(
        name="tests",
        issuer="https://issuer.example",
        audiences=["orders"],
        algorithms=["HS256"],
        secret_name="demo",
        required_claims={"token_use": "access"},
        scope_claim="scp",
    )
    token = testing.make_token(issuer, "bob", "orders:read")
    with override_policy(guarded(required_scopes=["orders:read"]), issuer):
        response = Browser().get(HEALTH, headers={"Authorization": f"Bearer {token}"})
        assert response.wsgi_request.apiguard.principal.endswith(":bob")
        testing.assert_admitted(response)
        late = testing.make_token(issuer, exp=1)
        answer = Browser().get(HEALTH, headers={"Authorization": f"Bearer {late}"})
        testing.assert_refused(answer, "token_expired")


def test_no_token_can_be_made_for_an_issuer_that_keeps_its_key():
    issuer = JwtIssuer(
        name="far",
        issuer="https://far.example",
        audiences=["orders"],
        algorithms=["RS256"],
        jwks_url="https://far.example/keys",
    )
    with pytest.raises(ValueError, match="private key"):
        testing.make_token(issuer)
