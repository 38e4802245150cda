"""No edit in the admin closes the admin, unless a person accepts that."""

from __future__ import annotations

import random
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client as Browser

from apiguard.models import (
    CorsPolicy,
    HeaderPolicy,
    Limit,
    PolicyChange,
    ResponseHeader,
    Route,
    Tier,
)
from tests.examples import examples

from .pages import confirmed, errors_of, fields_of, fill_in, url

EDITS = examples(5)
BOX = "_confirm_effects"


def closed(**fields):
    return {"name": "all", "path_prefix": "/", "mode": "enforce", **fields}


def texts(response):
    return [str(message) for message in response.wsgi_request._messages]


def pages_answer(user):
    """Whether the admin works in a new browser, from the sign-in page to the form of a route."""
    browser = Browser(headers={"accept": "text/html"})
    if browser.get("/admin/login/").status_code != 200:
        return False
    # As a browser sends the form; Django's test client would send multipart/form-data.
    sent = urlencode({"username": user.username, "password": "secret", "next": "/admin/"})
    form = "application/x-www-form-urlencoded"
    if browser.post("/admin/login/", sent, content_type=form).status_code != 302:
        return False
    return browser.get("/admin/").status_code == browser.get(url("route_add")).status_code == 200


@pytest.fixture
def person(db):
    return User.objects.create_superuser("person", password="secret")


@pytest.fixture
def browser(person):
    browser = Browser(headers={"accept": "text/html"})
    browser.force_login(person)
    return browser


# -- what closes the admin --------------------------------------------------------


def headers(**rows):
    policy = HeaderPolicy.objects.create(name="closing")
    for name, value in rows.items():
        ResponseHeader.objects.create(
            policy=policy, name=name.replace("_", "-"), value=value, mode="force"
        )
    return {"access": "public", "header_policy": policy.pk}


def tier(amount):
    row = Tier.objects.create(slug="few", name="Few")
    Limit.objects.create(tier=row, name="per-minute", amount=amount, period=60)
    return row.pk


def other_origins():
    return {"access": "public", "cors_policy": CorsPolicy.objects.create(name="none").pk}


CLOSING = {
    "credentials": lambda: {"access": "credentials"},
    "methods": lambda: {"access": "public", "methods": "GET"},
    "media types": lambda: {"access": "public", "accepts": "application/json"},
    "Accept": lambda: {"access": "public", "produces": "application/json"},
    "body size": lambda: {"access": "public", "max_body_bytes": 10},
    "cost above the limit": lambda: {"access": "public", "cost": 90, "anonymous_tier": tier(60)},
    "users' limit": lambda: {"access": "application", "cost": 90, "user_tier": tier(60)},
    "form-action": lambda: headers(Content_Security_Policy="form-action 'none'"),
    "form-action elsewhere": lambda: headers(Content_Security_Policy="form-action https://x.test"),
    "sandbox": lambda: headers(Content_Security_Policy="sandbox allow-scripts"),
    "Clear-Site-Data": lambda: headers(Clear_Site_Data='"cookies"'),
    "Origin: null": lambda: headers(Referrer_Policy="no-referrer"),
    "Content-Type": lambda: headers(Content_Type="application/json"),
}


@pytest.mark.parametrize("fields", CLOSING.values(), ids=CLOSING)
def test_a_route_that_closes_the_admin_is_refused_until_the_box_is_ticked(browser, fields):
    typed = closed(**fields())
    refused = fill_in(browser, url("route_add"), confirm=False, **typed)
    assert "I may lock myself out of /admin/" in refused.content.decode()
    assert "manage.py apiguard route set / --mode off" in refused.content.decode()
    assert not Route.objects.exists()
    fields_now = fields_of(refused.content.decode())
    assert fields_now["path_prefix"] == "/"
    assert confirmed(browser, url("route_add"), fields_now, refused).status_code == 302
    assert Route.objects.get().path_prefix == "/"


HARMLESS = {
    "observes": lambda: {"access": "credentials", "mode": "observe"},
    "is off": lambda: {"access": "credentials", "mode": "off"},
    "another path": lambda: {"access": "credentials", "path_prefix": "/api/"},
    "a beginning of the name": lambda: {"access": "credentials", "path_prefix": "/adm/"},
    "public": lambda: {"access": "public"},
    "application": lambda: {"access": "application"},
    "form-action self": lambda: headers(
        Content_Security_Policy="form-action 'self' https://x.test"
    ),
    "form-action of the host": lambda: headers(Content_Security_Policy="form-action testserver"),
    "no form-action": lambda: headers(Content_Security_Policy="default-src 'none'"),
    "a sandbox with forms": lambda: headers(
        Content_Security_Policy="sandbox allow-forms allow-same-origin"
    ),
    "clears the cache": lambda: headers(Clear_Site_Data='"cache"'),
    "all methods": lambda: {"access": "public", "methods": "GET\nPOST"},
    "forms": lambda: {
        "access": "public",
        "accepts": "application/x-www-form-urlencoded\nmultipart/form-data",
    },
}


@pytest.mark.parametrize("fields", HARMLESS.values(), ids=HARMLESS)
def test_a_route_that_leaves_the_admin_open_is_saved(browser, person, fields):
    assert fill_in(browser, url("route_add"), **closed(**fields())).status_code == 302
    assert pages_answer(person)


def test_a_new_route_begins_in_mode_observe(browser):
    assert fields_of(browser.get(url("route_add")).content.decode())["mode"] == "observe"


def test_the_box_accepts_what_was_shown_alone(browser):
    typed = closed(access="credentials", **{BOX: "other"})
    response = fill_in(browser, url("route_add"), confirm=False, **typed)
    assert "would be refused by the route" in errors_of(response)


def test_what_is_closed_already_may_be_edited(browser):
    route = Route.objects.create(name="all", path_prefix="/", mode="off")
    assert fill_in(browser, url("route_change", route.pk), cost=2).status_code == 302


def test_the_named_command_leads_back(browser, person):
    fill_in(browser, url("route_add"), **closed(access="credentials"))
    assert not pages_answer(person)
    call_command("apiguard", "route", "set", "/", "--mode", "off", verbosity=0)
    assert pages_answer(person)


# -- every way to change policy ------------------------------------------------------


def test_a_header_that_closes_the_admin_is_refused_at_its_policy(browser):
    policy = HeaderPolicy.objects.create(name="api")
    Route.objects.create(
        name="all", path_prefix="/", mode="enforce", access="public", header_policy=policy
    )
    row = {"headers-TOTAL_FORMS": 1, "headers-0-name": "Clear-Site-Data", "headers-0-value": '"*"'}
    more = {"headers-0-mode": "force", "headers-0-condition": "always"}
    response = fill_in(browser, url("headerpolicy_change", policy.pk), confirm=False, **row, **more)
    assert "signs everybody out" in errors_of(response)
    assert not ResponseHeader.objects.exists()


def test_a_limit_that_closes_the_admin_is_refused_at_its_tier(browser):
    few = Tier.objects.get(pk=tier(500))
    Route.objects.create(
        name="all", path_prefix="/", mode="enforce", access="public", cost=50, anonymous_tier=few
    )
    typed = {"limits-0-rate": "40 per minute"}
    response = fill_in(browser, url("tier_change", few.pk), confirm=False, **typed)
    assert "Rate limit exceeded" in errors_of(response)


@pytest.fixture
def uncovered(db):
    """The admin is open only because of a route of its own."""
    Route.objects.create(name="all", path_prefix="/", mode="enforce", access="credentials")
    return Route.objects.create(name="desk", path_prefix="/admin/", mode="enforce", access="public")


def test_deleting_the_route_that_keeps_the_admin_open_is_refused(browser, uncovered):
    page = browser.post(url("route_delete", uncovered.pk), {"post": "yes"})
    assert "I may lock myself out of /admin/" in page.content.decode()
    assert Route.objects.filter(pk=uncovered.pk).exists()
    address, sent = url("route_delete", uncovered.pk), fields_of(page.content.decode())
    assert confirmed(browser, address, sent, page).status_code == 302
    assert not Route.objects.filter(pk=uncovered.pk).exists()


def test_the_delete_action_is_held_to_the_same(browser, uncovered):
    chosen = {"action": "delete_selected", "_selected_action": [uncovered.pk], "post": "yes"}
    page = browser.post(url("route_changelist"), chosen)
    assert "I may lock myself out of /admin/" in page.content.decode()
    assert Route.objects.filter(pk=uncovered.pk).exists()
    assert not PolicyChange.objects.filter(action="deleted").exists()
    assert confirmed(browser, url("route_changelist"), chosen, page).status_code == 302
    assert not Route.objects.filter(pk=uncovered.pk).exists()


# -- where the admin is ---------------------------------------------------------------


@pytest.fixture
def _several_sites(settings):
    settings.ROOT_URLCONF = "tests.admin.several_sites"
    settings.LANGUAGES = [("en", "English"), ("de", "Deutsch")]
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]


@pytest.mark.usefixtures("_several_sites")
@pytest.mark.parametrize(
    ("here", "prefix", "refused"),
    [
        ("/back/office/admin/", "/back/", True),
        ("/back/office/admin/", "/de/", False),
        ("/de/staff/", "/de/staff/", True),
        ("/en/staff/", "/de/staff/", False),
    ],
)
def test_the_site_that_serves_the_form_is_the_one_that_stays_open(browser, here, prefix, refused):
    address = f"{here}apiguard/route/add/"
    typed = closed(access="credentials", path_prefix=prefix)
    response = fill_in(browser, address, confirm=False, **typed)
    assert ("lock myself out" in response.content.decode()) is refused
    if refused:
        assert f"lock myself out of {here}" in response.content.decode()
    else:
        response = fill_in(browser, address, **typed)
        assert any("closes the admin site at " + prefix[:4] in text for text in texts(response))


def test_under_a_script_name_paths_are_compared_without_it(browser):
    route = closed(access="credentials", path_prefix="/admin/")
    page = browser.get("/admin/apiguard/route/add/", SCRIPT_NAME="/app")
    sent = {**fields_of(page.content.decode()), **route}
    response = browser.post("/admin/apiguard/route/add/", sent, SCRIPT_NAME="/app")
    assert "lock myself out of /app/admin/" in response.content.decode()


def test_without_the_middleware_nothing_closes_the_admin(browser, settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "apiguard" not in name]
    assert fill_in(browser, url("route_add"), **closed(access="credentials")).status_code == 302


def test_an_exempt_admin_is_never_closed(browser, settings):
    settings.APIGUARD = {**settings.APIGUARD, "EXEMPT_PATHS": ["/admin/"]}
    assert fill_in(browser, url("route_add"), **closed(access="credentials")).status_code == 302


@pytest.mark.parametrize(("amount", "warned"), [(10, True), (29, True), (30, False)])
def test_a_low_limit_at_the_admin_is_warned_about(browser, amount, warned):
    typed = closed(access="public", anonymous_tier=tier(amount))
    response = fill_in(browser, url("route_add"), **typed)
    assert response.status_code == 302
    assert any(f"admit {amount} requests a minute" in text for text in texts(response)) is warned


# -- at random --------------------------------------------------------------------------


def random_fields(dice, tiers, policies):
    return {
        "name": f"r{dice.randrange(10**6)}",
        "path_prefix": dice.choice(["/", "/admin/", "/admin/login/", "/api/", "/admin/apiguard/"]),
        "mode": dice.choice(["enforce", "enforce", "observe", "off"]),
        "access": dice.choice(["public", "credentials", "application"]),
        "methods": dice.choice(["", "", "GET", "GET\nPOST"]),
        "accepts": dice.choice(["", "", "application/json", "application/x-www-form-urlencoded"]),
        "produces": dice.choice(["", "", "application/json", "text/html"]),
        "max_body_bytes": dice.choice(["", "", 1, 10**6]),
        "cost": dice.choice([1, 1, 10**6]),
        "header_policy": dice.choice(["", *policies]),
        "anonymous_tier": dice.choice(["", *tiers]),
        "user_tier": dice.choice(["", *tiers]),
    }


def random_edit(dice, browser, tiers, policies):
    rows = list(Route.objects.values_list("pk", flat=True))
    kind = dice.choice(["add", "change", "change", "delete", "action"]) if rows else "add"
    if kind == "delete":
        send(browser, url("route_delete", dice.choice(rows)), {"post": "yes"})
    elif kind == "action":
        chosen = dice.sample(rows, dice.randint(1, len(rows)))
        sent = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
        send(browser, url("route_changelist"), sent)
    else:
        address = url("route_add") if kind == "add" else url("route_change", dice.choice(rows))
        typed = random_fields(dice, tiers, policies)
        if kind == "change":
            typed = dict(dice.sample(sorted(typed.items()), 4))
        send(browser, address, {**fields_of(browser.get(address).content.decode()), **typed})


def send(browser, address, sent):
    """Confirm whatever an edit does, but a lock-out."""
    answer = browser.post(address, sent)
    confirmation = (answer.context or {}).get("confirmation")
    if confirmation is not None and confirmation.lockout is None:
        confirmed(browser, address, sent, answer)


def test_random_edits_never_close_the_admin(browser, person):
    dice = random.Random(13)
    tiers = [tier(10**5)]
    policies = [headers(Content_Security_Policy="form-action 'none'")["header_policy"]]
    for number in range(EDITS):
        random_edit(dice, browser, tiers, policies)
        if not pages_answer(person):
            pytest.fail(f"Edit {number} closed the admin: {list(Route.objects.values())}")
