"""Edits of several people at once: nothing is lost without a word."""

from __future__ import annotations

import random
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser

from apiguard.models import AllowedOrigin, Limit, LimitOverride, Route
from tests.examples import examples

from .pages import confirmed, errors_of, fields_of, url

ROUNDS = examples(40)


@pytest.fixture
def browsers(db):
    """Four people of the staff, each in a browser."""
    found = []
    for name in ("ann", "bob", "eve", "joe"):
        browser = Browser()
        browser.force_login(User.objects.create_superuser(name))
        found.append(browser)
    return found


def opened(browser, address):
    return fields_of(browser.get(address).content.decode())


def sent(browser, address, fields, **typed):
    data = {**fields, **typed}
    data = {name: value for name, value in data.items() if value is not None}
    return confirmed(browser, address, data, browser.post(address, data))


def choices_of(response):
    """Name -> values of the radio buttons that ask what to keep."""
    found: dict[str, list[str]] = {}
    page = response.content.decode()
    for name, value in re.findall(r'type="radio" name="([^"]+)" value="([^"]+)"', page):
        found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def address(route):
    return url("route_change", route.pk)


# -- fields ----------------------------------------------------------------------------


def test_edits_of_different_fields_are_both_kept(browsers, route, address):
    ann, bob = browsers[:2]
    hers, his = opened(ann, address), opened(bob, address)
    assert sent(bob, address, his, methods="GET").status_code == 302
    assert sent(ann, address, hers, cost="7").status_code == 302
    route.refresh_from_db()
    assert (route.methods, route.cost) == (["GET"], 7)


def test_what_nobody_changed_writes_nothing(browsers, route, address):
    ann, bob = browsers[:2]
    hers = opened(ann, address)
    sent(bob, address, opened(bob, address), methods="GET")
    before = Route.objects.values().get()
    assert sent(ann, address, hers).status_code == 302
    assert Route.objects.values().get() == before


def test_the_same_change_of_two_people_is_no_conflict(browsers, route, address):
    ann, bob = browsers[:2]
    hers = opened(ann, address)
    sent(bob, address, opened(bob, address), methods="GET")
    assert sent(ann, address, hers, methods="GET").status_code == 302


@pytest.fixture
def conflict(browsers, address):
    """Ann's form, which changes what Bob has changed since she opened it."""
    ann, bob = browsers[:2]
    hers = opened(ann, address)
    assert sent(bob, address, opened(bob, address), methods="GET").status_code == 302
    return sent(ann, address, hers, methods="PUT", cost="7")


def test_a_field_that_both_changed_has_to_be_chosen(conflict, route):
    errors = errors_of(conflict)
    assert "“Methods” was changed" in errors
    assert "by bob" in errors
    assert "The stored value is now: GET" in errors
    typed = fields_of(conflict.content.decode())
    assert (typed["methods"], typed["cost"]) == ("PUT", "7")
    route.refresh_from_db()
    assert (route.methods, route.cost) == (["GET"], 1)


@pytest.mark.parametrize(("decision", "methods"), [("keep", ["PUT"]), ("take", ["GET"])])
def test_the_answer_decides_which_value_stays(
    browsers, conflict, route, address, decision, methods
):
    ((name, values),) = choices_of(conflict).items()
    (value,) = [value for value in values if value.startswith(decision)]
    fields = fields_of(conflict.content.decode())
    assert sent(browsers[0], address, fields, **{name: value}).status_code == 302
    route.refresh_from_db()
    assert (route.methods, route.cost) == (methods, 7)


def test_an_answer_holds_for_the_value_that_it_was_given_to(browsers, conflict, address):
    ann, bob = browsers[:2]
    ((name, values),) = choices_of(conflict).items()
    sent(bob, address, opened(bob, address), methods="DELETE")
    again = sent(ann, address, fields_of(conflict.content.decode()), **{name: values[0]})
    assert "The stored value is now: DELETE" in errors_of(again)


@pytest.mark.parametrize("token", ["", "nonsense", "e30:1x:zzz", None])
def test_a_token_that_is_no_token_merges_nothing_and_fails_nowhere(browsers, address, route, token):
    fields = {**opened(browsers[0], address), "shown_values": token, "cost": "7"}
    assert sent(browsers[0], address, fields).status_code == 302
    route.refresh_from_db()
    assert route.cost == 7


def test_the_token_of_another_row_is_not_used(browsers, address, route):
    ann, bob = browsers[:2]
    other = Route.objects.create(name="other", path_prefix="/other/")
    token = opened(ann, url("route_change", other.pk))["shown_values"]
    hers = {**opened(ann, address), "shown_values": token}
    assert sent(bob, address, opened(bob, address), methods="GET").status_code == 302
    assert sent(ann, address, hers, cost="7").status_code == 302


# -- rows of inlines -------------------------------------------------------------------------


@pytest.fixture
def tier_address(tier):
    Limit.objects.create(tier=tier, name="per-day", amount=900, period=86400)
    return url("tier_change", tier.pk)


def test_two_rows_of_an_inline_are_edited_by_two_people(browsers, tier, tier_address):
    ann, bob = browsers[:2]
    hers = opened(ann, tier_address)
    names = [name for name in hers if name.endswith("-rate")]
    changed = {names[1]: "800 per day"}
    assert sent(bob, tier_address, opened(bob, tier_address), **changed).status_code == 302
    assert sent(ann, tier_address, hers, **{names[0]: "70 per minute"}).status_code == 302
    assert sorted(tier.limits.values_list("amount", flat=True)) == [70, 800]


def test_a_rate_that_both_changed_has_to_be_chosen(browsers, tier_address):
    ann, bob = browsers[:2]
    hers = opened(ann, tier_address)
    sent(bob, tier_address, opened(bob, tier_address), **{"limits-0-rate": "80 per minute"})
    response = sent(ann, tier_address, hers, **{"limits-0-rate": "90 per minute"})
    assert "The stored value is now: 80 per minute" in errors_of(response)
    ((name, (keep, take)),) = choices_of(response).items()
    fields = fields_of(response.content.decode())
    assert sent(ann, tier_address, fields, **{name: take}).status_code == 302
    assert Limit.objects.order_by("pk").first().amount == 80
    assert keep.startswith("keep")


@pytest.fixture
def deleted(browsers, tier_address):
    """Ann's form with a row that Bob has deleted since."""
    ann, bob = browsers[:2]
    hers = opened(ann, tier_address)
    gone = sent(bob, tier_address, opened(bob, tier_address), **{"limits-0-DELETE": "on"})
    assert gone.status_code == 302
    return hers


def test_a_deleted_row_that_was_left_alone_stays_deleted(browsers, deleted, tier, tier_address):
    changed = {"limits-1-rate": "800 per day"}
    assert sent(browsers[0], tier_address, deleted, **changed).status_code == 302
    assert list(tier.limits.values_list("name", "amount")) == [("per-day", 800)]


@pytest.mark.parametrize(("decision", "amounts"), [("keep", [70, 900]), ("take", [900])])
def test_a_deleted_row_that_was_changed_has_to_be_chosen(
    browsers, deleted, tier, tier_address, decision, amounts
):
    response = sent(browsers[0], tier_address, deleted, **{"limits-0-rate": "70 per minute"})
    assert "was deleted" in errors_of(response)
    fields = fields_of(response.content.decode())
    assert fields["limits-0-rate"] == "70 per minute"
    ((name, values),) = choices_of(response).items()
    (value,) = [value for value in values if value.startswith(decision)]
    assert sent(browsers[0], tier_address, fields, **{name: value}).status_code == 302
    assert sorted(tier.limits.values_list("amount", flat=True)) == amounts


def test_a_row_that_two_people_delete_is_deleted(browsers, deleted, tier, tier_address):
    removed = {"limits-0-DELETE": "on"}
    assert sent(browsers[0], tier_address, deleted, **removed).status_code == 302
    assert tier.limits.get().name == "per-day"


def test_deleting_a_row_that_another_person_changed_needs_a_tick(browsers, tier, tier_address):
    ann, bob = browsers[:2]
    hers = opened(ann, tier_address)
    sent(bob, tier_address, opened(bob, tier_address), **{"limits-0-rate": "80 per minute"})
    response = sent(ann, tier_address, hers, **{"limits-0-DELETE": "on"})
    assert "was changed" in errors_of(response)
    assert tier.limits.count() == 2
    page = response.content.decode()
    ((name, value),) = re.findall(r'name="([^"]+deletion[^"]+)" value="([^"]+)"', page)
    fields = {**fields_of(page), "limits-0-DELETE": "on", name: value}
    assert sent(ann, tier_address, fields).status_code == 302
    assert tier.limits.count() == 1


def test_rows_that_others_added_stay(browsers, tier, tier_address):
    hers = opened(browsers[0], tier_address)
    Limit.objects.create(tier=tier, name="per-hour", amount=500, period=3600)
    assert sent(browsers[0], tier_address, hers, name="Free of charge").status_code == 302
    assert tier.limits.count() == 3


# -- at random: four people, several forms ----------------------------------------------------


@pytest.fixture
def forms(route, tier_address, tier, acme):
    """Address -> the fields that may be typed into, with values to choose from."""
    cors = route.cors_policy
    AllowedOrigin.objects.create(policy=cors, pattern="https://two.example.com")
    LimitOverride.objects.create(client=acme, limit=tier.limits.first(), amount=5)
    return {
        url("route_change", route.pk): {
            "cost": ["1", "2", "3"],
            "methods": ["GET", ["GET", "POST"], "PUT"],
            "max_body_bytes": ["10000", "20000", ""],
            "access": ["credentials", "credentials"],
        },
        tier_address: {
            "name": ["Free", "Free of charge", "Gratis"],
            "limits-0-rate": ["60 per minute", "70 per minute", "80 per minute"],
            "limits-1-rate": ["900 per day", "800 per day"],
            "limits-1-mode": ["enforce", "shadow"],
        },
        url("client_change", acme.pk): {
            "name": ["Acme", "Acme Ltd", "ACME"],
            "metadata": ["{}", '{"a": 1}', '{"a": 2}'],
            "overrides-0-amount": ["5", "6", "7"],
            "overrides-0-reason": ["", "because"],
        },
        url("corspolicy_change", cors.pk): {
            "max_age": ["1", "2", "3"],
            "origins-0-note": ["", "first", "other"],
            "origins-1-enabled": ["on", None],
        },
    }


def test_at_random_nothing_is_lost_without_a_word(browsers, forms):
    """Each saved change stays until a person who saw it, or was asked about it, changes it."""
    dice = random.Random(14)
    held: dict[tuple[int, str], dict[str, str]] = {}
    asked = merged = 0
    for _round in range(ROUNDS):
        who, address = dice.randrange(len(browsers)), dice.choice(list(forms))
        browser = browsers[who]
        if (who, address) not in held:
            held[who, address] = opened(browser, address)
            continue
        shown = held.pop((who, address))
        before = opened(browser, address)
        names = dice.sample(list(forms[address]), 2)
        typed = {name: dice.choice(forms[address][name]) for name in names}
        response = sent(browser, address, shown, **typed)
        after = opened(browser, address)
        for name in forms[address]:
            mine = typed.get(name, shown.get(name))
            stored, now = before.get(name), after.get(name)
            i_changed, moved = mine != shown.get(name), stored != shown.get(name)
            if response.status_code == 200:
                assert now == stored
                assert fields_of(response.content.decode()).get(name) == mine
            else:
                assert now == (mine if i_changed else stored)
                assert not (i_changed and moved and mine != stored)
                merged += moved
        asked += response.status_code == 200
    assert asked
    assert merged


def test_a_deleted_main_row_says_so(browsers, route, address):
    hers = opened(browsers[0], address)
    route.delete()
    response = browsers[0].post(address, hers, follow=True)
    assert "deleted" in response.content.decode()


def test_a_form_to_be_read_alone_has_no_token(viewer, route, address):
    assert "shown_values" not in viewer.get(address).content.decode()
