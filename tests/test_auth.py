"""Failed sign-ins are limited by account and address, whichever way somebody signs in."""

from __future__ import annotations

import json
import re
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth.backends import ModelBackend
from django.test import AsyncClient, Client, RequestFactory, override_settings

from apiguard import auth, checks
from apiguard.auth import SignInLimitBackend
from apiguard.policy.holder import holder
from apiguard.testing import fast_forward, make_tier, reset_counters, snapshot_of

BACKENDS = ["apiguard.auth.SignInLimitBackend", "django.contrib.auth.backends.ModelBackend"]
N = 3
JSON = {"DRF", "simplejwt"}
WAYS = {"login": "/login/", "admin": "/admin/login/", "DRF": "/drf/", "simplejwt": "/simplejwt/"}


@pytest.fixture(autouse=True)
def _site(settings, db):
    settings.ROOT_URLCONF = "tests.sign_in_views"
    settings.AUTHENTICATION_BACKENDS = BACKENDS
    settings.APIGUARD = {**settings.APIGUARD, "SIGN_IN_TIER": "sign-in", "COUNTER": "memory"}
    reset_counters()
    with holder.override(snapshot_of(*make_tier("sign-in", N, period=900))):
        yield
    reset_counters()


@pytest.fixture(autouse=True)
def _alice(db):
    get_user_model().objects.create_user("alice", password="right", is_staff=True)


@pytest.fixture
def checked(monkeypatch):
    """The attempts whose password was checked."""
    seen = []
    inner = ModelBackend.authenticate

    def authenticate(self, request, username=None, password=None, **kwargs):
        seen.append(password)
        return inner(self, request, username, password, **kwargs)

    monkeypatch.setattr(ModelBackend, "authenticate", authenticate)
    return seen


def sign_in(way, password, username="alice", address="192.0.2.1", kind=Client):
    """Whether somebody got in; the response."""
    client, data = kind(), {"username": username, "password": password}
    sent = (WAYS[way], json.dumps(data)) if way in JSON else (WAYS[way], data)
    options = {"content_type": "application/json"} if way in JSON else {}
    if kind is Client:
        response = client.post(*sent, REMOTE_ADDR=address, **options)
    else:
        response = async_to_sync(client.post)(*sent, REMOTE_ADDR=address, **options)
    return response.status_code == (200 if way in JSON else 302), response


@pytest.mark.parametrize("way", WAYS)
def test_after_so_many_failures_the_right_password_is_not_even_checked(way, checked):
    assert [sign_in(way, "wrong")[0] for _ in range(N)] == [False] * N
    assert not sign_in(way, "right")[0]
    assert checked == ["wrong"] * N
    fast_forward(901)
    assert sign_in(way, "right")[0]


@pytest.mark.parametrize("way", WAYS)
def test_who_signs_in_uses_nothing_up(way):
    assert all(sign_in(way, "right")[0] for _ in range(3 * N))


@pytest.mark.parametrize("way", WAYS)
def test_a_success_gives_back_its_own_unit_and_no_failure(way):
    for _ in range(N - 1):
        sign_in(way, "wrong")
        assert sign_in(way, "right")[0]
    sign_in(way, "wrong")
    assert not sign_in(way, "right")[0]


@pytest.mark.parametrize("way", WAYS)
def test_the_answer_is_that_of_a_wrong_password(way):
    answers = [sign_in(way, "wrong")[1] for _ in range(N + 1)]

    def stable(response):
        text = response.content.decode()
        # A token of the form, or the id of the request, is another one each time.
        return response.status_code, re.sub(r'value="\w{64}"|"requestId": "\w+"', "", text)

    assert stable(answers[0]) == stable(answers[-1])


@pytest.mark.parametrize("way", WAYS)
def test_who_is_no_user_is_answered_and_counted_in_the_same_way(way, checked):
    for name in ("alice", "nobody"):
        results = [sign_in(way, "wrong", name)[1].status_code for _ in range(N + 1)]
        assert len(set(results)) == 1
    assert len(checked) == 2 * N


@pytest.mark.parametrize(
    ("username", "address"),
    [
        pytest.param("alice", "192.0.2.2", id="the account from elsewhere"),
        pytest.param("bob", "192.0.2.1", id="another account from there"),
    ],
)
def test_another_account_or_address_is_counted_by_itself(username, address):
    get_user_model().objects.create_user("bob", password="right")
    for _ in range(N):
        sign_in("login", "wrong")
    assert sign_in("login", "right", username, address)[0]


@pytest.mark.parametrize(
    "spelling",
    [
        *("ALICE", " alice ", "\uff41lice", "Alice"),
        # Equal to "alice" in the collations of MySQL that ignore accents.
        *("\u00e1lice", "a\u0301lic\u00e8", "ali\u200bce", "\u2060alice"),
    ],
)
def test_spellings_of_a_name_count_as_one(spelling, checked):
    for _ in range(N):
        sign_in("login", "wrong", spelling)
    assert not sign_in("login", "right")[0]
    assert "right" not in checked


def test_an_account_whose_name_is_a_number_is_limited_whatever_type_json_brings(checked):
    request = RequestFactory().post("/login/", REMOTE_ADDR="192.0.2.1")
    for name in ("12345", 12345):
        for _ in range(N):
            authenticate(request, username=name, password="wrong")
    assert len(checked) == N


def test_a_name_of_any_length_costs_little(monkeypatch, checked):
    # To normalise 40,000 marks upon one letter takes ten seconds.
    lengths = []
    normalize = unicodedata.normalize

    def measured(form, text):
        lengths.append(len(text))
        return normalize(form, text)

    monkeypatch.setattr(auth.unicodedata, "normalize", measured)
    for _ in range(N + 1):
        sign_in("simplejwt", "wrong", "a" + "\u0301\u0316" * 300)
    assert max(lengths) <= 300
    assert len(checked) == N


def test_addresses_of_one_ipv6_network_count_as_one():
    for number in range(N):
        sign_in("login", "wrong", address=f"2001:db8::{number + 1}")
    assert not sign_in("login", "right", address="2001:db8::ffff")[0]
    assert sign_in("login", "right", address="2001:db8:0:1::1")[0]


def test_an_asynchronous_request_is_limited_too():
    for _ in range(2):
        assert sign_in("login", "right", kind=AsyncClient)[0]
    for _ in range(N):
        assert not sign_in("login", "wrong", kind=AsyncClient)[0]
    assert not sign_in("login", "right", kind=AsyncClient)[0]


def test_attempts_at_the_same_time_never_exceed_the_limit(monkeypatch):
    """No more than N passwords are checked, however many are tried at once."""
    checked, together = [], threading.Barrier(8)

    class Slow(ModelBackend):
        def authenticate(self, request, username=None, password=None, **kwargs):
            checked.append(password)

    monkeypatch.setattr("tests.test_auth.SlowBackend", Slow, raising=False)
    request = RequestFactory().post("/login/", REMOTE_ADDR="192.0.2.1")

    def attempt(_):
        together.wait(10)
        return authenticate(request, username="alice", password="wrong")

    with (
        override_settings(AUTHENTICATION_BACKENDS=[BACKENDS[0], "tests.test_auth.SlowBackend"]),
        ThreadPoolExecutor(8) as pool,
    ):
        assert list(pool.map(attempt, range(8))) == [None] * 8
    assert len(checked) == N


def test_an_unlocked_address_tries_again_at_once():
    for _ in range(N):
        sign_in("login", "wrong")
    assert not sign_in("login", "right")[0]
    unlocked = snapshot_of(*make_tier("sign-in", N, period=900))
    with holder.override(replace(unlocked, unlocked=((7, "ip:192.0.2.1"),))):
        assert sign_in("login", "right")[0]


@pytest.mark.parametrize("members", [{}, {"SIGN_IN_TIER": "none-of-this-name"}])
def test_without_a_tier_nothing_is_limited(settings, members):
    settings.APIGUARD = {**django_settings.APIGUARD, "SIGN_IN_TIER": None, **members}
    for _ in range(2 * N):
        sign_in("login", "wrong")
    assert sign_in("login", "right")[0]


def test_a_call_without_a_request_is_left_alone():
    for _ in range(2 * N):
        authenticate(username="alice", password="wrong")
    assert authenticate(username="alice", password="right") is not None


def test_a_log_line_names_the_address_and_neither_account_nor_password(caplog):
    for _ in range(N + 1):
        sign_in("login", "wrong-password", "alice-the-first")
    (line,) = [record for record in caplog.records if record.name == "apiguard.sign_in"]
    assert "ip:192.0.2.1" in line.getMessage()
    assert "alice" not in line.getMessage()
    assert "wrong-password" not in caplog.text


@pytest.mark.parametrize(
    ("backends", "tier", "warned"),
    [
        (BACKENDS, "sign-in", False),
        (BACKENDS[1:], None, False),
        (BACKENDS, None, True),
        (BACKENDS[1:], "sign-in", True),
        (BACKENDS[::-1], "sign-in", True),
    ],
)
def test_a_check_says_where_setting_and_backend_do_not_go_together(
    settings, backends, tier, warned
):
    settings.AUTHENTICATION_BACKENDS = backends
    settings.APIGUARD = {**django_settings.APIGUARD, "SIGN_IN_TIER": tier}
    found = [message.id for message in checks.check_sign_in()]
    assert found == ["apiguard.W024"] * warned


def test_the_backend_signs_nobody_in():
    backend = SignInLimitBackend()
    request = RequestFactory().get("/")
    assert backend.authenticate(request, username="alice", password="right") is None
    assert backend.get_user(1) is None
