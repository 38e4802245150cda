"""The APIGUARD dict: every member good and bad, all mistakes named, no secret repeated."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from apiguard import conf
from apiguard.rules.rates import Rate

CACHES = {"apiguard": {}, "other": {}}
SECRET = "correct-horse-battery-staple"


def parsed(**given):
    return conf.parse(given, CACHES)


@pytest.mark.parametrize(
    ("name", "value", "attribute", "expected"),
    [
        pytest.param("ENABLED", False, "enabled", False, id="enabled"),
        pytest.param("COUNTER", "memory", "counter", "memory", id="counter in memory"),
        pytest.param("COUNTER", "other", "counter", "other", id="counter in an alias"),
        pytest.param(
            "COUNTER", "redis+cluster://h:1", "counter", "redis+cluster://h:1", id="cluster"
        ),
        pytest.param("COUNTER_PREFIX", "p", "counter_prefix", "p", id="prefix"),
        pytest.param("POLICY_MAX_AGE", None, "policy_max_age", None, id="no max age"),
        pytest.param("POLICY_MAX_AGE", 0, "policy_max_age", 0.0, id="max age of nothing"),
        pytest.param("POLICY_MAX_STALENESS", 5, "policy_max_staleness", 5.0, id="staleness"),
        pytest.param(
            "FORWARDED_HEADER", "Forwarded", "forwarded_meta", "HTTP_FORWARDED", id="forwarded"
        ),
        pytest.param("API_KEY_HEADER", "X-Key", "api_key_meta", "HTTP_X_KEY", id="key header"),
        pytest.param(
            "REQUEST_ID_HEADER", "X-Trace", "request_id_meta", "HTTP_X_TRACE", id="request id"
        ),
        pytest.param("TRUST_REQUEST_ID", "never", "trust_request_id", "never", id="trust"),
        pytest.param("KEY_NAMESPACE", "acme1", "key_namespace", "acme1", id="namespace"),
        pytest.param("KEY_PEPPERS", {"a": "b"}, "key_peppers", {"a": b"b"}, id="peppers"),
        pytest.param("ALLOW_TEST_KEYS", False, "allow_test_keys", False, id="test keys"),
        pytest.param("JWT_SECRETS", {"a": b"\xff"}, "jwt_secrets", {"a": (b"\xff",)}, id="secrets"),
        pytest.param(
            "JWT_SECRETS", {"a": ["new", "old"]}, "jwt_secrets", {"a": (b"new", b"old")}, id="two"
        ),
        pytest.param("JWKS_CA_FILE", "/ca.pem", "jwks_ca_file", "/ca.pem", id="CA file"),
        pytest.param("SCOPES", ["a", "b"], "scopes", {"a", "b"}, id="scopes"),
        pytest.param("SCOPES", None, "scopes", None, id="no registry"),
        pytest.param(
            "FAILED_CREDENTIALS_LIMIT", "5/s", "failed_credentials_limit", Rate(5, 1), id="rate"
        ),
        pytest.param(
            "FAILED_CREDENTIALS_LIMIT", None, "failed_credentials_limit", None, id="no rate"
        ),
        pytest.param("RATE_LIMIT_HEADERS", [], "rate_limit_headers", (), id="no headers"),
        pytest.param("ERROR_FORMAT", "simple", "error_format", "simple", id="error format"),
        pytest.param("REALM", "my api", "realm", "my api", id="realm"),
        pytest.param("ADMIN", False, "admin", False, id="admin"),
        pytest.param("TRUSTED_PROXIES", ["unix"], "trust_unix", True, id="unix"),
        pytest.param("TRUSTED_PROXIES", {"unix"}, "trust_unix", True, id="unix in a set"),
        pytest.param("TRUSTED_PROXIES", ["10.0.0.0/8"], "trust_unix", False, id="no unix"),
    ],
)
def test_a_good_value_is_taken(name, value, attribute, expected):
    settings, errors = parsed(**{name: value})
    assert errors == []
    assert getattr(settings, attribute) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("ENABLED", "false", id="a string is no boolean"),
        pytest.param("ENABLED", 1, id="a number is no boolean"),
        pytest.param("EXEMPT_PATHS", "/static/", id="a string is no list"),
        pytest.param("EXEMPT_PATHS", ["static"], id="a path without a slash"),
        pytest.param("COUNTER", "nowhere", id="an alias that is not there"),
        pytest.param("COUNTER", None, id="no counter"),
        pytest.param("COUNTER_PREFIX", "", id="an empty prefix"),
        pytest.param("POLICY_MAX_AGE", "1", id="an age that is no number"),
        pytest.param("POLICY_MAX_AGE", -1, id="a negative age"),
        pytest.param("POLICY_MAX_AGE", float("nan"), id="an age that is not a number"),
        pytest.param("POLICY_MAX_AGE", True, id="an age that is a boolean"),
        pytest.param("POLICY_MAX_STALENESS", None, id="no staleness"),
        pytest.param("TRUSTED_PROXIES", "10.0.0.0/8", id="a string of proxies"),
        pytest.param("TRUSTED_PROXIES", ["10.0.0.1/8"], id="host bits"),
        pytest.param("TRUSTED_PROXIES", [5], id="a number of proxies"),
        pytest.param("FORWARDED_HEADER", "X-Real-IP", id="another header"),
        pytest.param("API_KEY_HEADER", "X Key", id="no header name"),
        pytest.param("API_KEY_HEADER", "Authorization", id="a header of every credential"),
        pytest.param("API_KEY_HEADER", "cookie", id="a header of the browser's"),
        pytest.param("API_KEY_HEADER", "Content-Type", id="a header of the body"),
        pytest.param("API_KEY_HEADER", "x-request-id", id="the header of request ids"),
        pytest.param("REQUEST_ID_HEADER", "", id="an empty header name"),
        pytest.param("REQUEST_ID_HEADER", "Set-Cookie", id="a header that Django writes"),
        pytest.param("REQUEST_ID_HEADER", "RateLimit", id="a header that limits write"),
        pytest.param("TRUST_REQUEST_ID", True, id="a boolean of trust"),
        pytest.param("KEY_NAMESPACE", "A_B", id="a namespace with a separator"),
        pytest.param("KEY_PEPPERS", ["a"], id="a list of peppers"),
        pytest.param("KEY_PEPPERS", {"a": ""}, id="an empty pepper"),
        pytest.param("KEY_PEPPERS", {"a b": "c"}, id="a name with a space"),
        pytest.param("ALLOW_TEST_KEYS", None, id="neither"),
        pytest.param("JWT_SECRETS", {"a": 5}, id="a number for a secret"),
        pytest.param("JWT_SECRETS", {"a": []}, id="no secret of a name"),
        pytest.param("JWT_SECRETS", {5: "a"}, id="a number for a name"),
        pytest.param("JWKS_ALLOWED_NETWORKS", ["localhost"], id="a name is no network"),
        pytest.param("JWKS_CA_FILE", "", id="an empty file name"),
        pytest.param("SCOPES", "a b", id="a string of scopes"),
        pytest.param("SCOPES", ["a b"], id="a scope with a space"),
        pytest.param("FAILED_CREDENTIALS_LIMIT", "many", id="no rate"),
        pytest.param("FAILED_CREDENTIALS_LIMIT", "5/month", id="a calendar quota"),
        pytest.param("RATE_LIMIT_HEADERS", ["draft-7"], id="an unknown family"),
        pytest.param("ERROR_FORMAT", "html", id="an unknown format"),
        pytest.param("REALM", 'a"b', id="a quote"),
        pytest.param("REALM", "a\nb", id="a line break"),
        pytest.param("ADMIN", "yes", id="a string for a boolean"),
    ],
)
def test_a_bad_value_is_reported_at_its_name_and_keeps_the_default(name, value):
    settings, errors = parsed(**{name: value})
    assert [error.field for error in errors] == [name]
    assert errors[0].reason
    if name not in ("COUNTER", "EXEMPT_PATHS"):
        default = getattr(parsed()[0], name.lower())
        assert getattr(settings, name.lower()) == default


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"REQUEST_ID_HEADER": "X-API-Key"}, id="the default one of keys"),
        pytest.param({"API_KEY_HEADER": "X-Request-Id"}, id="the default one of ids"),
        pytest.param({"API_KEY_HEADER": "X-A", "REQUEST_ID_HEADER": "x-a"}, id="in another case"),
        pytest.param({"API_KEY_HEADER": "X-A", "REQUEST_ID_HEADER": "X_A"}, id="as WSGI reads it"),
    ],
)
def test_keys_never_come_in_the_header_that_is_sent_back(given):
    settings, errors = parsed(**given)
    assert [error.field for error in errors] == ["API_KEY_HEADER"]
    assert (settings.api_key_meta, settings.request_id_meta) == (
        "HTTP_X_API_KEY",
        "HTTP_X_REQUEST_ID",
    )


def test_the_counter_is_the_alias_of_our_name_if_there_is_one():
    assert conf.parse({}, CACHES)[0].counter == "apiguard"
    assert conf.parse({}, {"default": {}})[0].counter == "memory"


def test_exempt_paths_are_found_by_prefix():
    found = parsed(EXEMPT_PATHS=["/static"])[0].exempt_paths
    assert found.find("/static/x")
    assert not found.find("/statics")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        pytest.param("JWT_SECRET", "JWT_SECRETS", id="a missing letter"),
        pytest.param("policy_max_age", "POLICY_MAX_AGE", id="lower case"),
        pytest.param("ZZZ", None, id="nothing near"),
        pytest.param(5, None, id="a number"),
    ],
)
def test_an_unknown_member_is_reported_with_the_nearest_name(name, nearest):
    _, errors = conf.parse({name: 1}, {})
    assert [(error.code, error.suggestion) for error in errors] == [("unknown_setting", nearest)]


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"KEY_PEPPERS": SECRET}, id="a secret alone"),
        pytest.param({"KEY_PEPPERS": [SECRET]}, id="a list"),
        pytest.param({"JWT_SECRETS": {"a b": SECRET}}, id="under a bad name"),
        pytest.param({"JWT_SECRETS": {f"{SECRET}!": "name"}}, id="swapped with its name"),
        pytest.param({"JWT_SECRETS": {"a": [SECRET, ""]}}, id="beside an empty one"),
        pytest.param({"JWT_SECRETS": {"a": [[SECRET]]}}, id="in a list in a list"),
        pytest.param({"JWT_SECRETS": {"a": [SECRET] * 6}}, id="in a long list"),
        pytest.param({"JWT_SECRETS": {"a": {"b": SECRET}}}, id="in an object"),
        pytest.param({"KEY_PEPPERS": {"a": [SECRET]}}, id="a pepper in a list"),
    ],
)
def test_no_error_repeats_a_secret(given):
    _, errors = conf.parse(given, {})
    assert errors
    assert SECRET not in repr([error.as_dict() for error in errors]) + repr(errors)
    with override_settings(APIGUARD=given), pytest.raises(ImproperlyConfigured) as raised:
        conf.current()
    assert SECRET not in str(raised.value)


def test_settings_can_be_shown_without_their_secrets():
    settings, _ = conf.parse({"KEY_PEPPERS": {"a": SECRET}, "JWT_SECRETS": {"a": SECRET}}, {})
    assert SECRET not in repr(settings)


def test_everything_that_is_wrong_is_named_at_once():
    wrong = {"REALM": "", "ADMIN": 1, "ZZZ": 1}
    with override_settings(APIGUARD=wrong), pytest.raises(ImproperlyConfigured) as raised:
        conf.current()
    assert "APIGUARD['REALM']" in str(raised.value)
    assert "APIGUARD['ADMIN']" in str(raised.value)
    assert "ZZZ" not in str(raised.value)


def test_an_unknown_member_alone_stops_nothing():
    with override_settings(APIGUARD={"ZZZ": 1, "REALM": "kept"}):
        assert conf.current().realm == "kept"


def test_settings_follow_override_settings_and_come_back():
    before = conf.current()
    with override_settings(APIGUARD={"REALM": "changed"}):
        assert conf.current().realm == "changed"
        assert conf.current() is conf.current()
    assert conf.current().realm == before.realm


def test_a_change_of_caches_is_followed_too():
    local = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    with override_settings(CACHES={"default": local, "apiguard": local}, APIGUARD={}):
        assert conf.current().counter == "apiguard"


@override_settings(APIGUARD=[])
def test_a_list_is_no_dict():
    with pytest.raises(ImproperlyConfigured, match="not a dict"):
        conf.current()


@pytest.mark.parametrize("counter", ["redis://127.0.0.1:6379/1", "nowhere"])
def test_a_counter_that_nothing_could_find_is_wrong(counter):
    _, errors = conf.parse({"COUNTER": counter}, {"default": {}})
    assert [(error.field, error.code) for error in errors] == [("COUNTER", "unknown_alias")]


def test_a_cluster_needs_no_alias():
    assert conf.parse({"COUNTER": "redis+cluster://127.0.0.1:7000"}, {})[1] == []
