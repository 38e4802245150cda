"""Everyday tasks, in at most so many screens: pages opened, and forms shown again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apiguard.admin.route_presets import PRESETS
from apiguard.models import AllowedOrigin, ApiKey, Client, Limit, LimitOverride, Route

from .pages import confirmed, fields_of, url

LEAKED = {"how": "leaked", "reason": "found in a log"}


class Person:
    """Somebody of the staff; ``screens`` counts what is put before their eyes."""

    def __init__(self, browser):
        self.browser, self.screens = browser, 0
        self.page = None
        self.address = ""

    def open(self, address):
        self.address, self.page = address, self.browser.get(address)
        assert self.page.status_code == 200
        self.screens += 1
        return self

    def send(self, **typed):
        """Send the form; a page that shows it again is one more screen, and its box is ticked."""
        sent = {**fields_of(self.page.content.decode()), **typed}
        answer = self.browser.post(self.address, sent)
        if answer.status_code == 200 and answer.context.get("confirmation"):
            self.screens += 1
            answer = confirmed(self.browser, self.address, sent, answer)
        return answer


@pytest.fixture
def person(admin_client):
    return Person(admin_client)


@pytest.fixture
def api(route):
    route.mode, route.access, route.required_scopes = "enforce", "public", []
    route.save()
    return route


def test_a_new_origin_takes_two_screens(person, api, cors):
    person.open(url("allowedorigin_add"))
    sent = person.send(policy=cors.pk, pattern="https://new.example.com", enabled="on")
    assert sent.status_code == 302
    assert AllowedOrigin.objects.filter(pattern="https://new.example.com").exists()
    assert person.screens == 2


def test_a_partner_with_a_limit_of_their_own_and_a_key_takes_two_screens(person, tier):
    limit = tier.limits.get()
    own = {"overrides-0-limit": limit.pk, "overrides-0-amount": 500, "overrides-0-reason": "deal"}
    own |= {"overrides-0-until_lasts": "for_good"}
    person.open(url("client_add"))
    made = person.send(name="Partner", slug="partner", tier=tier.pk, _make_key="1", **own)
    assert made.status_code == 302, made.context["errors"]
    person.open(made.headers["Location"])
    assert person.send(name="first").status_code == 200  # The key, shown once.
    client = Client.objects.get(slug="partner")
    assert client.keys.count() == 1
    assert client.overrides.get().amount == 500
    assert person.screens == 2


def test_raising_a_limit_for_a_week_takes_one_screen(person, api, acme, tier):
    person.open(url("client_change", acme.pk))
    row = {"limit": tier.limits.get().pk, "amount": 600, "until_lasts": "week", "reason": "sale"}
    sent = person.send(**{f"overrides-0-{name}": value for name, value in row.items()})
    assert sent.status_code == 302
    left = LimitOverride.objects.get().until - timezone.now()
    assert timedelta(days=6) < left < timedelta(days=9)
    assert person.screens == 1


def test_rotating_a_leaked_key_takes_two_screens(person, key):
    person.open(url("apikey_changelist"))
    assert key.key_id in person.page.content.decode()
    person.open(url("apikey_rotate", key.pk))
    assert person.send(**LEAKED).status_code == 200  # The new key, shown once.
    assert ApiKey.objects.filter(replaces=key).exists()
    assert person.screens == 2


def test_a_stricter_limit_that_is_tried_first_takes_two_screens(person, api, tier, acme):
    row = {"limits-TOTAL_FORMS": 2, "limits-1-name": "stricter", "limits-1-rate": "20 per minute"}
    more = {"limits-1-mode": "shadow", "limits-1-on_store_failure": "local"}
    person.open(url("tier_change", tier.pk))
    assert person.send(**row, **more).status_code == 302
    person.open(url("tier_change", tier.pk))
    assert person.send(**{"limits-1-mode": "enforce"}).status_code == 302
    assert Limit.objects.get(name="stricter").mode == "enforce"
    assert person.screens == 2


@pytest.mark.parametrize(
    ("preset", "path", "fields"),
    [
        (
            "webhook",
            "/hooks/stripe/",
            {"mode": "enforce", "methods": ["POST"], "cors_policy": None},
        ),
        ("health", "/health", {"mode": "enforce", "methods": ["GET"], "anonymous_tier": None}),
        ("legacy", "/shop/", {"mode": "observe", "access": "application"}),
    ],
)
def test_a_preset_takes_one_screen(person, api, headers, preset, path, fields):
    type(headers).objects.update(name="api")
    person.open(f"{url('route_add')}?preset={preset}")
    assert person.send(name="new", path_prefix=path).status_code == 302
    route = Route.objects.get(name="new")
    assert {name: getattr(route, name) for name in fields} == fields
    assert route.header_policy == headers
    assert person.screens == 1


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid_as_it_is(person, preset):
    person.open(f"{url('route_add')}?preset={preset}")
    assert person.send(name="new", path_prefix="/new/").status_code == 302
    assert Route.objects.get().problems() == []


def test_the_form_of_a_new_route_offers_the_starting_points(person, api):
    page = person.open(url("route_add")).page.content.decode()
    for preset in PRESETS:
        assert f'href="?preset={preset}"' in page
    page = person.open(url("route_change", api.pk)).page.content.decode()
    assert f"?copy={api.pk}" in page
