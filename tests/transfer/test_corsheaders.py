"""Settings of django-cors-headers become rows; what cannot is refused with its reason."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from corsheaders.middleware import CorsMiddleware
from corsheaders.signals import check_request_enabled
from django.http import HttpResponse
from django.test import override_settings

from apiguard.models import AllowedOrigin, CorsPolicy, PolicyState, Route
from apiguard.policy.compile import compile_rows
from apiguard.policy.load import rows as load_rows
from apiguard.rules.origins import OriginSet, parse_pattern
from apiguard.transfer.corsheaders import refuse_receivers, write
from apiguard.transfer.corsheaders_settings import read


def reading(**settings):
    return read(SimpleNamespace(**settings))


def told(errors):
    return [(error.field, error.code, error.value) for error in errors]


def test_settings_that_say_nothing_have_the_defaults_of_django_cors_headers():
    found = reading()
    assert found.policy == {
        "allowed_methods": ["DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"],
        "allowed_headers": [
            *("accept", "authorization", "content-type", "user-agent"),
            *("x-csrftoken", "x-requested-with"),
        ],
        "exposed_headers": [],
        "allow_credentials": False,
        "max_age": 86400,
        "refuse_foreign_origins": False,
    }
    assert (found.origins, found.prefixes) == ([], ("/",))
    assert (found.notices, found.refused) == ([], [])


def test_every_setting_is_read():
    found = reading(
        CORS_ALLOWED_ORIGINS=("https://a.example.com", "http://localhost:3000"),
        CORS_ALLOWED_ORIGIN_REGEXES=[re.compile(r"^https://\w+\.example\.org$")],
        CORS_URLS_REGEX=re.compile(r"^/api/.*$"),
        CORS_ALLOW_METHODS=["GET", "PURGE"],
        CORS_ALLOW_HEADERS=["x-key"],
        CORS_EXPOSE_HEADERS=["X-Total"],
        CORS_PREFLIGHT_MAX_AGE=60,
        CORS_ALLOW_CREDENTIALS=True,
        CORS_ALLOW_PRIVATE_NETWORK=False,
    )
    assert found.origins == [
        *("https://a.example.com", "http://localhost:3000", "https://*.example.org"),
    ]
    assert found.prefixes == ("/api/",)
    assert found.policy == {
        "allowed_methods": ["GET", "PURGE"],
        "allowed_headers": ["x-key"],
        "exposed_headers": ["X-Total"],
        "allow_credentials": True,
        "max_age": 60,
        "refuse_foreign_origins": False,
    }
    assert told(found.notices) == [
        ("CORS_ALLOWED_ORIGIN_REGEXES", "translated", r"^https://\w+\.example\.org$")
    ]
    assert found.refused == []


@pytest.mark.parametrize(
    ("settings", "origins"),
    [
        ({"CORS_ORIGIN_WHITELIST": ["https://a.example"]}, ["https://a.example"]),
        ({"CORS_ORIGIN_REGEX_WHITELIST": [r"^https://b\.example$"]}, ["https://b.example"]),
        ({"CORS_ORIGIN_ALLOW_ALL": True}, ["*"]),
        (
            {"CORS_ALLOWED_ORIGINS": ["https://new.example"], "CORS_ORIGIN_WHITELIST": ["null"]},
            ["https://new.example"],
        ),
    ],
)
def test_settings_are_read_under_their_former_names_too(settings, origins):
    found = reading(**settings)
    assert (found.origins, found.refused) == (origins, [])


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        pytest.param(
            {"CORS_ALLOW_ALL_ORIGINS": True, "CORS_ALLOW_CREDENTIALS": True},
            [("CORS_ALLOW_ALL_ORIGINS", "wildcard_with_credentials", "*")],
            id="everybody with credentials",
        ),
        pytest.param(
            {"CORS_ALLOWED_ORIGINS": ["null", "file://"]},
            [
                ("CORS_ALLOWED_ORIGINS", "null_origin", "null"),
                ("CORS_ALLOWED_ORIGINS", "file_origin", "file://"),
            ],
            id="pages without an origin",
        ),
        pytest.param(
            {"CORS_ALLOWED_ORIGINS": ["*", "https://*.example.com"]},
            [
                ("CORS_ALLOWED_ORIGINS", "wildcard", "*"),
                ("CORS_ALLOWED_ORIGINS", "wildcard", "https://*.example.com"),
            ],
            id="stars that meant nothing",
        ),
        pytest.param(
            {
                "CORS_ALLOWED_ORIGINS": ["http://intranet.example"],
                "CORS_ALLOW_CREDENTIALS": True,
            },
            [("CORS_ALLOWED_ORIGINS", "insecure_with_credentials", "http://intranet.example")],
            id="credentials over http",
        ),
        pytest.param(
            {"CORS_ALLOWED_ORIGIN_REGEXES": [r"^https://.*$"]},
            [("CORS_ALLOWED_ORIGIN_REGEXES", "regular_expression", r"^https://.*$")],
            id="an expression without counterpart",
        ),
        pytest.param(
            {"CORS_ALLOWED_ORIGIN_REGEXES": [r"^https://\w+\.github\.io$"]},
            [("CORS_ALLOWED_ORIGIN_REGEXES", "public_suffix", "https://*.github.io")],
            id="an expression for strangers",
        ),
        pytest.param(
            {"CORS_ALLOWED_ORIGINS": "https://a.example"},
            [("CORS_ALLOWED_ORIGINS", "wrong_type", "https://a.example")],
            id="a string for a list",
        ),
        pytest.param(
            {"CORS_ALLOWED_ORIGINS": [None, "https://a.example"]},
            [("CORS_ALLOWED_ORIGINS", "wrong_type", None)],
            id="not a string in a list",
        ),
        pytest.param(
            {"CORS_ALLOW_METHODS": ["GET", "TRACE"]},
            [("CORS_ALLOW_METHODS", "forbidden_method", "TRACE")],
            id="a method of no page",
        ),
        pytest.param(
            {"CORS_ALLOW_HEADERS": ["*"]},
            [("CORS_ALLOW_HEADERS", "wildcard_header", "*")],
            id="all headers",
        ),
        pytest.param(
            {"CORS_EXPOSE_HEADERS": ["X Total"]},
            [("CORS_EXPOSE_HEADERS", "bad_name", "X Total")],
            id="no header name",
        ),
        pytest.param(
            {"CORS_PREFLIGHT_MAX_AGE": -1},
            [("CORS_PREFLIGHT_MAX_AGE", "wrong_type", -1)],
            id="a negative age",
        ),
        pytest.param(
            {"CORS_ALLOW_CREDENTIALS": "yes"},
            [("CORS_ALLOW_CREDENTIALS", "wrong_type", "yes")],
            id="not a truth value",
        ),
        pytest.param(
            {"CORS_ALLOW_PRIVATE_NETWORK": True},
            [("CORS_ALLOW_PRIVATE_NETWORK", "private_network", True)],
            id="private networks",
        ),
        pytest.param(
            {"CORS_URLS_REGEX": r"^/(?!admin).*$"},
            [("CORS_URLS_REGEX", "no_prefix", r"^/(?!admin).*$")],
            id="an expression for paths that is no prefix",
        ),
        pytest.param(
            {"CORS_REPLACE_HTTPS_REFERER": True},
            [("CORS_REPLACE_HTTPS_REFERER", "unknown", True)],
            id="a setting without counterpart",
        ),
    ],
)
def test_what_has_no_counterpart_is_refused_with_its_setting_and_value(settings, refused):
    found = reading(**settings)
    assert told(found.refused) == refused
    assert all(error.reason for error in found.refused)
    assert found.policy["allow_credentials"] is (settings.get("CORS_ALLOW_CREDENTIALS") is True)


@pytest.mark.parametrize(
    ("settings", "notice"),
    [
        (
            {"CORS_ALLOWED_ORIGINS": ["HTTPS://A.example/"]},
            ("CORS_ALLOWED_ORIGINS", "upper_case", "HTTPS://A.example/"),
        ),
        ({"CORS_ALLOW_METHODS": ["patch"]}, ("CORS_ALLOW_METHODS", "lower_case_method", "patch")),
        ({"CORS_PREFLIGHT_MAX_AGE": 0}, ("CORS_PREFLIGHT_MAX_AGE", "max_age_zero", 0)),
    ],
)
def test_a_value_in_another_spelling_is_kept_with_a_notice(settings, notice):
    found = reading(**settings)
    assert told(found.notices)[0] == notice
    assert found.refused == []


@pytest.mark.parametrize(
    ("regex", "prefixes", "differences"),
    [
        (".*", ("/",), []),
        (r"^/.*$", ("/",), []),
        (r"^/api/.*$", ("/api/",), []),
        (r"^/api/", ("/api/",), []),
        (r"/api", ("/api/",), ["The rows no longer match /apix, /api-x/."]),
        (r"^/api.*$", ("/api/",), ["The rows no longer match /apix, /api-x/."]),
        (r"^/api/v1/.*", ("/api/v1/",), []),
        (r"^/api$", ("/api/",), ["The rows also match /api/, /api/x, /api/x/."]),
        (
            r"^/users/$",
            ("/users/",),
            ["The rows also match /users/x, /users/x/, /users/x/y."],
        ),
        (r"^/(api|graphql)/.*$", ("/api/", "/graphql/"), []),
        (
            r"^/v1/(?:a|b)/c/.*$",
            ("/v1/a/c/", "/v1/b/c/"),
            [],
        ),
    ],
)
def test_an_expression_for_paths_becomes_prefixes_and_differences_are_named(
    regex, prefixes, differences
):
    found = reading(CORS_URLS_REGEX=regex)
    assert (found.prefixes, found.refused) == (prefixes, [])
    assert [notice.reason for notice in found.notices] == differences


@pytest.mark.parametrize(
    ("host", "origins"),
    [
        ("localhost:4200", ["https://localhost:4200", "http://localhost:4200"]),
        ("app.example.com", ["https://app.example.com", "http://app.example.com"]),
    ],
)
def test_a_host_without_a_scheme_permitted_both(host, origins):
    found = reading(CORS_ORIGIN_WHITELIST=[host])
    assert found.origins == origins
    assert told(found.notices) == [("CORS_ORIGIN_WHITELIST", "no_scheme", host)]


def test_credentials_keep_the_plain_half_out_but_on_this_machine():
    found = reading(
        CORS_ORIGIN_WHITELIST=["localhost:4200", "app.example.com"], CORS_ALLOW_CREDENTIALS=True
    )
    assert found.origins == [
        "https://localhost:4200",
        "http://localhost:4200",
        "https://app.example.com",
    ]
    assert [error.value for error in found.refused] == ["http://app.example.com"]


REGEXES = [
    r"^https?://(.+)\.example\.com$",
    r"^https://\w+\.example\.com$",
    r"https://example\.com",
    r"^http://localhost:\d{4}$",
]


@pytest.mark.parametrize("regex", REGEXES)
def test_every_example_of_a_difference_is_one_for_the_package_itself(regex):
    found = reading(CORS_ALLOWED_ORIGIN_REGEXES=[regex])
    permits = OriginSet(map(parse_pattern, found.origins)).match
    with override_settings(CORS_ALLOWED_ORIGIN_REGEXES=[regex]):
        package = CorsMiddleware(lambda request: HttpResponse())
        for notice in found.notices:
            for origin in re.findall(r"https?://[^ ,]+(?<!\.)", notice.reason):
                assert package.regex_domain_match(origin) is not bool(permits(origin))


def test_a_receiver_that_decides_by_code_is_refused():
    quiet = reading()
    refuse_receivers(quiet)
    assert quiet.refused == []

    def permit(sender, request, **kwargs):
        return True

    check_request_enabled.connect(permit)
    try:
        found = reading()
        refuse_receivers(found)
    finally:
        check_request_enabled.disconnect(permit)
    assert told(found.refused) == [("check_request_enabled", "receiver", "corsheaders.signals")]


SETTINGS = {"CORS_ALLOWED_ORIGINS": ["https://a.example", "https://b.example"]}
MADE = [
    "CORS policy 'corsheaders'",
    "allowed origin 'https://a.example'",
    "allowed origin 'https://b.example'",
]


@pytest.mark.django_db
def test_rows_are_made_once_and_are_good_policy():
    assert write(reading(**SETTINGS), prefix="/api") == [*MADE, "route '/api/'"]
    route = Route.objects.get()
    assert (route.mode, route.access, route.cors_policy.name) == (
        *("observe", "application"),
        "corsheaders",
    )
    assert write(reading(**SETTINGS), prefix="/api/") == []
    assert compile_rows(load_rows(PolicyState.objects.get())[1]).problems == ()


@pytest.mark.django_db
def test_a_dry_run_makes_nothing():
    write(reading(**SETTINGS), name="other")
    before = PolicyState.objects.get().revision
    assert write(reading(**SETTINGS), prefix="/api/", dry_run=True) == [*MADE, "route '/api/'"]
    assert not CorsPolicy.objects.filter(name="corsheaders").exists()
    assert not Route.objects.exists()
    assert PolicyState.objects.get().revision == before


@pytest.mark.django_db
def test_what_is_there_stays_and_what_is_new_is_added():
    write(reading(**SETTINGS))
    AllowedOrigin.objects.filter(pattern="https://a.example").update(enabled=False)
    changed = reading(CORS_ALLOWED_ORIGINS=["https://c.example"], CORS_PREFLIGHT_MAX_AGE=5)
    assert write(changed) == ["allowed origin 'https://c.example'"]
    assert told(changed.notices) == [("max_age", "differs", 5)]
    assert CorsPolicy.objects.get().max_age == 86400
    assert not AllowedOrigin.objects.get(pattern="https://a.example").enabled


@pytest.mark.django_db
def test_a_route_takes_the_policy_unless_it_has_another():
    other = CorsPolicy.objects.create(name="other")
    Route.objects.create(name="free", path_prefix="/free/")
    Route.objects.create(name="taken", path_prefix="/taken/", cors_policy=other)
    assert "route 'free'" in write(reading(**SETTINGS), prefix="/free/")
    again = reading(**SETTINGS)
    assert write(again, prefix="/taken/") == []
    assert told(again.refused) == [("route", "other_policy", "/taken/")]
    assert Route.objects.get(name="free").cors_policy.name == "corsheaders"
    assert Route.objects.get(name="taken").cors_policy == other
