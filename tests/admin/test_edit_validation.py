"""An edit that would break policy is refused at its form; old errors are nobody's fault."""

from __future__ import annotations

import pytest
from django.test import override_settings

from apiguard.models import (
    AllowedOrigin,
    CorsPolicy,
    Limit,
    PolicyChange,
    PolicyState,
    ResponseHeader,
    Route,
    Tier,
)
from apiguard.policy import build
from tests.policy.processes import elsewhere

from .pages import errors_of, fields_of, fill_in, url

PUBLIC_SUFFIX = "https://*.github.io"


def test_an_origin_that_its_policy_forbids_is_refused_at_its_field(admin_client, cors):
    revision = PolicyState.objects.get().revision
    response = fill_in(
        admin_client,
        url("allowedorigin_add"),
        policy=cors.pk,
        pattern=PUBLIC_SUFFIX,
        note="typed by hand",
        enabled="on",
    )
    form = response.context["adminform"].form
    (said,) = form.errors["pattern"]
    assert PUBLIC_SUFFIX in said
    assert form["note"].value() == "typed by hand"
    assert "typed by hand" in response.content.decode()
    assert not AllowedOrigin.objects.filter(pattern=PUBLIC_SUFFIX).exists()
    assert PolicyState.objects.get().revision == revision


def test_the_reason_and_a_hint_are_reported(admin_client, cors):
    response = fill_in(
        admin_client, url("allowedorigin_add"), policy=cors.pk, pattern=PUBLIC_SUFFIX, enabled="on"
    )
    (problem,) = response.context["adminform"].form.errors.as_data()["pattern"]
    assert problem.code
    assert len(problem.messages[0]) > len(PUBLIC_SUFFIX) + 20


def test_an_error_in_an_inline_row_stands_in_that_row(admin_client, cors):
    response = fill_in(
        admin_client,
        url("corspolicy_change", cors.pk),
        **{
            "origins-TOTAL_FORMS": "2",
            "origins-1-policy": cors.pk,
            "origins-1-pattern": PUBLIC_SUFFIX,
            "origins-1-enabled": "on",
            "name": "renamed",
        },
    )
    (inline,) = response.context["inline_admin_formsets"]
    assert "pattern" in inline.formset.errors[1]
    assert inline.formset.errors[0] == {}
    assert response.context["adminform"].form["name"].value() == "renamed"
    assert CorsPolicy.objects.get().name == cors.name
    assert cors.origins.count() == 1


def test_an_error_that_the_edit_causes_in_another_row_is_shown_above_the_form(admin_client, cors):
    cors.dangerously_allow_public_suffixes = True
    cors.save()
    AllowedOrigin.objects.create(policy=cors, pattern=PUBLIC_SUFFIX)
    response = fill_in(
        admin_client,
        url("corspolicy_change", cors.pk),
        dangerously_allow_public_suffixes=None,
        **{"origins-TOTAL_FORMS": "0", "origins-INITIAL_FORMS": "0"},
    )
    (said,) = response.context["adminform"].form.non_field_errors()
    assert PUBLIC_SUFFIX in said
    assert CorsPolicy.objects.get().dangerously_allow_public_suffixes


def test_an_edit_beside_an_old_error_is_accepted(admin_client, cors, route):
    # Slipped in beside the form, as loaddata would.
    AllowedOrigin.objects.bulk_create([AllowedOrigin(policy=cors, pattern=PUBLIC_SUFFIX)])
    Route.objects.filter(pk=route.pk).update(methods=["get"])
    response = fill_in(admin_client, url("corspolicy_change", cors.pk), max_age="60")
    assert response.status_code == 302
    assert CorsPolicy.objects.get().max_age == 60


def test_a_row_with_an_old_error_may_be_renamed(admin_client, cors):
    AllowedOrigin.objects.bulk_create([AllowedOrigin(policy=cors, pattern=PUBLIC_SUFFIX)])
    origin = AllowedOrigin.objects.get(pattern=PUBLIC_SUFFIX)
    response = fill_in(admin_client, url("allowedorigin_change", origin.pk), note="why?")
    assert response.status_code == 302


@pytest.mark.parametrize(
    ("screen", "broken", "typed"),
    [
        pytest.param("route", {"methods": ["get"]}, {"mode": "off"}, id="route"),
        pytest.param("client", {"allowed_networks": ["here"]}, {"enabled": None}, id="client"),
        pytest.param("apikey", {"scopes": ["a b"]}, {"name": "desktop"}, id="key"),
        pytest.param("jwtissuer", {"secret_name": "gone"}, {"enabled": None}, id="issuer"),
        pytest.param("allowedorigin", {"pattern": "null"}, {"enabled": None}, id="origin"),
    ],
)
def test_a_row_that_is_wrong_already_may_be_edited_at_another_field(
    admin_client, policy, screen, broken, typed
):
    row = policy[screen]
    type(row).objects.filter(pk=row.pk).update(**broken)
    response = fill_in(admin_client, url(f"{screen}_change", row.pk), **typed)
    assert response.status_code == 302
    row.refresh_from_db()
    for name, value in typed.items():
        assert getattr(row, name) == (value or False)


def test_a_limit_that_is_wrong_already_does_not_stop_an_edit_of_its_tier(admin_client, tier):
    Limit.objects.filter(tier=tier).update(amount=10**10)
    assert fill_in(admin_client, url("tier_change", tier.pk), name="Gratis").status_code == 302
    tier.refresh_from_db()
    assert (tier.name, tier.limits.get().amount) == ("Gratis", 10**10)


def test_another_error_in_a_row_that_is_wrong_already_is_refused(admin_client, route):
    Route.objects.filter(pk=route.pk).update(methods=["get"])
    response = fill_in(admin_client, url("route_change", route.pk), methods="get\nput")
    said, offered = response.context["adminform"].form.errors["methods"]
    assert said.startswith("put: ")
    assert offered.startswith("Did you mean GET, PUT?")


def test_every_wrong_line_is_named(admin_client, route):
    response = fill_in(admin_client, url("route_change", route.pk), methods="GET\nput\nTRACE")
    said = response.context["adminform"].form.errors["methods"]
    *wrong, offered = said
    assert [line.partition(":")[0] for line in wrong] == ["put", "TRACE"]
    assert offered.startswith("Did you mean GET, PUT?")


def test_a_cost_that_a_limit_of_the_route_cannot_admit_is_refused(admin_client, route, tier):
    Limit.objects.create(tier=tier, name="here", amount=5, period=60, route=route)
    response = fill_in(admin_client, url("route_change", route.pk), cost="6")
    assert "limit" in errors_of(response)
    assert Route.objects.get().cost == 1


def test_the_error_of_an_amount_is_shown_at_the_rate(admin_client, route, tier):
    Route.objects.filter(pk=route.pk).update(cost=10)
    response = fill_in(
        admin_client,
        url("tier_change", tier.pk),
        **{
            "limits-TOTAL_FORMS": "2",
            "limits-1-tier": tier.pk,
            "limits-1-name": "here",
            "limits-1-rate": "5 per minute",
            "limits-1-route": route.pk,
            "limits-1-mode": "enforce",
            "limits-1-on_store_failure": "local",
        },
    )
    (inline,) = response.context["inline_admin_formsets"]
    assert "rate" in inline.formset.errors[1]
    assert tier.limits.count() == 1


def test_a_refused_edit_leaves_no_trace_in_any_history(admin_client, cors, admin_user):
    from django.contrib.admin.models import LogEntry

    changes = PolicyChange.objects.count()
    fill_in(
        admin_client, url("allowedorigin_add"), policy=cors.pk, pattern=PUBLIC_SUFFIX, enabled="on"
    )
    assert PolicyChange.objects.count() == changes
    assert LogEntry.objects.count() == 0


@pytest.mark.parametrize(
    ("screen", "typed", "field"),
    [
        pytest.param("route", {"path_prefix": "api/*"}, "path_prefix", id="path prefix"),
        pytest.param("route", {"methods": "get"}, "methods", id="method"),
        pytest.param("route", {"required_scopes": 'a"b'}, "required_scopes", id="scope"),
        pytest.param("corspolicy", {"allowed_headers": "*"}, "allowed_headers", id="header"),
        pytest.param("client", {"allowed_networks": "1.2.3.4/8"}, "allowed_networks", id="network"),
        pytest.param("jwtissuer", {"algorithms": "none"}, "algorithms", id="algorithm"),
        pytest.param("jwtissuer", {"secret_name": "nobody"}, "secret_name", id="secret"),
    ],
)
def test_what_is_wrong_with_a_row_by_itself_is_reported_at_its_field(
    admin_client, policy, screen, typed, field
):
    response = fill_in(admin_client, url(f"{screen}_change", policy[screen].pk), **typed)
    assert field in response.context["adminform"].form.errors


def test_a_header_listed_twice_in_any_case_is_refused_at_its_row(admin_client, headers):
    response = fill_in(
        admin_client,
        url("headerpolicy_change", headers.pk),
        **{
            "headers-TOTAL_FORMS": "3",
            **{
                f"headers-{row}-{name}": value
                for row, header in ((1, "X-One"), (2, "x-one"))
                for name, value in {
                    "policy": headers.pk,
                    "name": header,
                    "value": "1",
                    "mode": "force",
                    "condition": "always",
                }.items()
            },
        },
    )
    (inline,) = response.context["inline_admin_formsets"]
    assert "name" in inline.formset.errors[2]
    assert ResponseHeader.objects.count() == 1


def test_a_new_row_with_every_field_empty_is_refused_without_an_exception(admin_client, tier):
    for screen in ("route", "corspolicy", "headerpolicy", "tier", "client", "jwtissuer", "apikey"):
        response = fill_in(admin_client, url(f"{screen}_add"), name="", slug="")
        assert response.context["adminform"].form.errors
    assert Tier.objects.count() == 1


@pytest.fixture
def compilations(monkeypatch):
    """Every snapshot that is compiled from here on."""
    made = []

    def noting(compile_):
        def compile_and_note(*args, **kwargs):
            made.append(compile_(*args, **kwargs))
            return made[-1]

        return compile_and_note

    for name in ("compile_rows", "recompile"):
        monkeypatch.setattr(build, name, noting(getattr(build, name)))
    return made


def send(browser, address, made, **typed):
    """Open a form, and send it; returns how often policy was compiled for the sending."""
    page = browser.get(address)
    before = len(made)
    response = browser.post(address, {**fields_of(page.content.decode()), **typed})
    assert response.status_code == 302
    return len(made) - before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("max_age", [None, 0])
def test_an_edit_compiles_policy_once_and_looking_at_a_row_never(
    admin_client, cors, compilations, max_age
):
    address = url("corspolicy_change", cors.pk)
    with override_settings(APIGUARD={"POLICY_MAX_AGE": max_age}):
        assert send(admin_client, address, compilations, max_age="60") == 1
        assert send(admin_client, address, compilations) == 0


@pytest.mark.django_db(transaction=True)
def test_an_error_of_another_process_is_not_taken_for_one_of_this_edit(admin_client, cors):
    admin_client.get(url("corspolicy_change", cors.pk))
    wrong = AllowedOrigin(policy=cors, pattern=PUBLIC_SUFFIX)
    elsewhere(lambda: AllowedOrigin.objects.bulk_create([wrong]))
    response = fill_in(
        admin_client, url("allowedorigin_add"), policy=cors.pk, pattern="https://b.example.com"
    )
    assert response.status_code == 302
