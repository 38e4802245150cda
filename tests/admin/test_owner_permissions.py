"""Nobody becomes somebody else by way of a client that acts as its owner."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Permission, User

from apiguard.admin.owner_permissions import widens_networks
from apiguard.models import ApiKey, Client, PolicyChange

from .pages import errors_of, fields_of, fill_in, url

CLIENTS = ("view_client", "add_client", "change_client")
KEYS = ("view_client", "view_apikey", "add_apikey", "change_apikey")


@pytest.fixture
def customer(db):
    return User.objects.create_user("customer")


@pytest.fixture
def other(db):
    return User.objects.create_user("other")


@pytest.fixture
def acting(acme, customer):
    """A client that acts as an ordinary user."""
    Client.objects.filter(pk=acme.pk).update(owner=customer, acts_as_owner=True)
    return Client.objects.get(pk=acme.pk)


def refused_at(response) -> set[str]:
    assert "superuser" in errors_of(response)
    return set(response.context["adminform"].form.errors)


def test_a_new_client_acts_as_nobody_without_a_superuser(staff, admin_user):
    typed = {"slug": "mine", "name": "Mine", "owner": admin_user.pk, "acts_as_owner": "on"}
    typed["tier"] = "none"
    response = fill_in(staff(*CLIENTS), url("client_add"), **typed)
    assert refused_at(response) == {"acts_as_owner"}
    assert not Client.objects.exists()


@pytest.mark.parametrize("name", ["admin", "customer", "somebody"])
def test_a_client_begins_to_act_as_nobody_without_a_superuser(
    staff, acme, admin_user, customer, name
):
    browser = staff(*CLIENTS)
    owner = User.objects.get(username=name)
    typed = {"owner": owner.pk, "acts_as_owner": "on"}
    response = fill_in(browser, url("client_change", acme.pk), **typed)
    assert refused_at(response) == {"acts_as_owner"}
    assert not Client.objects.get().acts_as_owner


def test_an_owner_that_is_there_already_is_not_acted_as_without_a_superuser(
    staff, acme, admin_user
):
    browser, address = staff(*CLIENTS), url("client_change", acme.pk)
    assert fill_in(browser, address, owner=admin_user.pk).status_code == 302
    assert refused_at(fill_in(browser, address, acts_as_owner="on")) == {"acts_as_owner"}


@pytest.mark.parametrize("name", ["admin", "other"])
def test_a_client_that_acts_gets_no_other_owner_without_a_superuser(
    staff, acting, admin_user, customer, other, name
):
    owner = User.objects.get(username=name)
    response = fill_in(staff(*CLIENTS), url("client_change", acting.pk), owner=owner.pk)
    assert refused_at(response) == {"owner"}
    assert Client.objects.get().owner == customer


@pytest.mark.parametrize(
    "typed",
    [
        pytest.param({"name": "ACME"}, id="its name"),
        pytest.param({"acts_as_owner": None}, id="to act no more"),
        pytest.param({"acts_as_owner": None, "owner": ""}, id="to act no more, and no owner"),
    ],
)
def test_the_rest_of_a_client_that_acts_may_be_edited(staff, acting, typed):
    response = fill_in(staff(*CLIENTS), url("client_change", acting.pk), **typed)
    assert response.status_code == 302
    assert PolicyChange.objects.first().actor.username == "somebody"


def test_a_superuser_lets_a_client_act_as_anybody(admin_client, acme, admin_user, customer):
    address = url("client_change", acme.pk)
    typed = {"owner": customer.pk, "acts_as_owner": "on"}
    assert fill_in(admin_client, address, **typed).status_code == 302
    assert fill_in(admin_client, address, owner=admin_user.pk).status_code == 302
    stored = Client.objects.get()
    assert (stored.owner, stored.acts_as_owner) == (admin_user, True)


def test_the_form_says_who_may(admin_client, acme):
    assert "Only a superuser" in admin_client.get(url("client_change", acme.pk)).content.decode()


# -- keys -----------------------------------------------------------------------


@pytest.fixture
def made():
    """Whether somebody's form made a key for a client of this owner."""

    def make(browser, acme, **owner) -> bool:
        User.objects.filter(pk=acme.owner_id).update(**owner)
        response = fill_in(browser, url("apikey_add"), client=acme.pk, name="laptop")
        if ApiKey.objects.exists():
            return True
        assert refused_at(response) == {"client"}
        return False

    return make


@pytest.mark.parametrize("rights", [{"is_staff": True}, {"is_superuser": True}])
def test_a_key_of_a_client_that_acts_as_staff_is_made_by_a_superuser(
    staff, admin_client, acting, made, rights
):
    assert not made(staff(*KEYS), acting, **rights)
    assert made(admin_client, acting, **rights)


def test_a_key_of_a_client_that_acts_as_an_ordinary_user_takes_impersonate(staff, acting, made):
    browser = staff(*KEYS)
    assert not made(browser, acting)
    allow("impersonate")
    assert made(browser, acting)


@pytest.mark.parametrize("rights", [{"is_superuser": True}, {"is_active": False}])
def test_impersonate_reaches_no_owner_who_has_more_rights(staff, acting, made, rights):
    assert not made(staff(*KEYS, "impersonate"), acting, **rights)


def test_impersonate_reaches_no_owner_with_a_permission_that_the_user_lacks(
    staff, acting, customer, made
):
    customer.user_permissions.add(Permission.objects.get(codename="delete_user"))
    assert not made(staff(*KEYS, "impersonate"), acting)


def test_a_key_of_a_client_that_staff_owns_and_that_acts_as_nobody_may_be_made(staff, acting, made):
    Client.objects.update(acts_as_owner=False)
    assert made(staff(*KEYS), acting, is_superuser=True)


# -- widening ---------------------------------------------------------------------


def allow(*codenames):
    """Give the user whom ``staff`` signed in these permissions besides."""
    found = Permission.objects.filter(codename__in=codenames, content_type__app_label="apiguard")
    assert found.count() == len(codenames)
    User.objects.get(username="somebody").user_permissions.add(*found)


NARROW = {"allowed_networks": ["192.0.2.0/24"], "expires_at": datetime(2100, 1, 1, tzinfo=UTC)}
WIDER = [
    pytest.param({"allowed_networks": ""}, "allowed_networks", id="from everywhere"),
    pytest.param(
        {"allowed_networks": "192.0.2.0/24\n198.51.100.0/24"}, "allowed_networks", id="one more"
    ),
    pytest.param({"allowed_networks": "192.0.0.0/16"}, "allowed_networks", id="a wider network"),
    pytest.param({"expires_at_0": "", "expires_at_1": ""}, "expires_at", id="for good"),
    pytest.param({"expires_at_0": "2101-01-01"}, "expires_at", id="for longer"),
]
NARROWER = [
    {"allowed_networks": "192.0.2.128/25"},
    {"expires_at_0": "2099-01-01"},
    {"scopes": ""},
    {"name": "Old laptop"},
]


@pytest.fixture
def narrow_key(acting):
    key, _ = ApiKey.objects.issue(acting, "laptop", ["orders:read"], **NARROW)
    return key


@pytest.mark.parametrize(("typed", "field"), WIDER)
def test_a_key_that_stands_for_a_user_is_widened_by_who_may_act_as_the_user(
    staff, narrow_key, typed, field
):
    browser, address = staff(*KEYS), url("apikey_change", narrow_key.pk)
    assert refused_at(fill_in(browser, address, **typed)) == {field}
    allow("impersonate")
    assert fill_in(browser, address, **typed).status_code == 302


@pytest.mark.parametrize("typed", NARROWER)
def test_a_key_that_stands_for_a_user_may_be_narrowed(staff, narrow_key, typed):
    response = fill_in(staff(*KEYS), url("apikey_change", narrow_key.pk), **typed)
    assert response.status_code == 302


def test_scopes_are_granted_by_who_may_grant_them(staff, acme):
    key, _ = ApiKey.objects.issue(acme, "laptop", ["orders:read"])
    browser, address = staff(*KEYS), url("apikey_change", key.pk)
    response = fill_in(browser, address, scopes="orders:read\norders:write")
    assert set(response.context["adminform"].form.errors) == {"scopes"}
    response = fill_in(browser, url("apikey_add"), client=acme.pk, name="new", scopes="orders:read")
    assert set(response.context["adminform"].form.errors) == {"scopes"}
    allow("grant_scopes")
    assert fill_in(browser, address, scopes="orders:read\norders:write").status_code == 302


@pytest.mark.parametrize(
    ("before", "typed", "field"),
    [
        ({"enabled": False}, {"enabled": "on"}, "enabled"),
        (
            {"allowed_networks": ["192.0.2.0/24"]},
            {"allowed_networks": ""},
            "allowed_networks",
        ),
    ],
)
def test_a_client_that_acts_is_widened_by_who_may_act_as_its_owner(
    staff, acting, before, typed, field
):
    Client.objects.update(**before)
    browser, address = staff(*CLIENTS), url("client_change", acting.pk)
    assert refused_at(fill_in(browser, address, **typed)) == {field}
    allow("impersonate")
    assert fill_in(browser, address, **typed).status_code == 302


def test_keys_that_will_act_as_the_owner_are_named_before_they_do(admin_client, acme, customer):
    ApiKey.objects.issue(acme, "old laptop")
    address = url("client_change", acme.pk)
    typed = {"owner": customer.pk, "acts_as_owner": "on"}
    response = fill_in(admin_client, address, **typed)
    assert "old laptop" in errors_of(response)
    assert "old laptop" in errors_of(fill_in(admin_client, address, **typed, confirm_keys="on"))
    assert not Client.objects.get().acts_as_owner
    approved = approval_in(response)
    assert fill_in(admin_client, address, **typed, confirm_keys=approved).status_code == 302
    assert Client.objects.get().acts_as_owner


def approval_in(response):
    """The value of the box that approves the keys."""
    field = response.context["adminform"].form.fields["confirm_keys"]
    assert f'value="{field.widget.attrs["value"]}"' in response.content.decode()
    return field.widget.attrs["value"]


def test_a_tick_approves_the_owner_and_the_keys_that_were_named(
    admin_client, acme, customer, other
):
    ApiKey.objects.issue(acme, "old laptop")
    address = url("client_change", acme.pk)
    typed = {"owner": customer.pk, "acts_as_owner": "on"}
    approved = approval_in(fill_in(admin_client, address, **typed))
    for_other = {**typed, "owner": other.pk, "confirm_keys": approved}
    assert "other" in errors_of(fill_in(admin_client, address, **for_other))
    ApiKey.objects.issue(acme, "new laptop")
    response = fill_in(admin_client, address, **typed, confirm_keys=approved)
    assert "new laptop" in errors_of(response)
    assert not Client.objects.get().acts_as_owner


def test_who_approves_an_owner_is_asked_when_it_has_changed_since(
    admin_client, acme, customer, admin_user
):
    Client.objects.update(owner=customer)
    address = url("client_change", acme.pk)
    shown = fields_of(admin_client.get(address).content.decode())
    Client.objects.update(owner=admin_user)
    response = admin_client.post(address, {**shown, "acts_as_owner": "on"})
    assert set(response.context["adminform"].form.errors) == {"owner"}
    assert not Client.objects.get().acts_as_owner


def test_who_enables_an_issuer_is_asked_when_its_rules_have_changed_since(admin_client, issuer):
    issuer.enabled = False
    issuer.save()
    address = url("jwtissuer_change", issuer.pk)
    shown = fields_of(admin_client.get(address).content.decode())
    type(issuer).objects.update(audiences=["somebody-elses"])
    response = admin_client.post(address, {**shown, "enabled": "on"})
    assert set(response.context["adminform"].form.errors) == {"audiences"}
    assert not type(issuer).objects.get().enabled


@pytest.mark.parametrize(
    ("before", "after", "widens"),
    [
        ([], [], False),
        ([], ["192.0.2.0/24"], False),
        (["192.0.2.0/24"], [], True),
        (["192.0.2.0/24"], ["192.0.2.0/24"], False),
        (["192.0.2.0/24", "2001:db8::/32"], ["2001:db8:1::/48"], False),
        (["192.0.2.0/24"], ["2001:db8::/32"], True),
        (["not a network"], ["192.0.2.0/24"], True),
        (7, ["192.0.2.0/24"], True),
    ],
)
def test_networks_widen_where_an_address_is_new(before, after, widens):
    assert widens_networks(before, after) is widens


# -- issuers and history ------------------------------------------------------------

ISSUERS = ("view_jwtissuer", "change_jwtissuer")


@pytest.mark.parametrize(
    "typed",
    [
        {"issuer": "https://other.example"},
        {"audiences": "other"},
        {"leeway": "60"},
        {"scope_claim": "nickname"},
        {"tier_claim": "nickname"},
    ],
)
def test_whose_tokens_are_accepted_is_decided_by_who_may_impersonate(staff, issuer, typed):
    browser, address = staff(*ISSUERS), url("jwtissuer_change", issuer.pk)
    assert refused_at(fill_in(browser, address, **typed)) == set(typed)
    assert fill_in(browser, address, enabled=None).status_code == 302
    assert fill_in(browser, address, **typed).status_code == 302
    assert refused_at(fill_in(browser, address, enabled="on")) == {"enabled"}
    allow("impersonate")
    assert fill_in(browser, address, enabled="on").status_code == 302


def test_the_history_shows_changes_of_rows_that_the_user_may_see(staff, key, issuer):
    browser = staff("view_policychange", "view_client")
    page = browser.get(url("policychange_changelist")).content.decode()
    assert "Acme" in page
    hidden = PolicyChange.objects.filter(model="apiguard.jwtissuer").get()
    assert "https://issuer.example" not in page
    shown = browser.get(url("policychange_change", hidden.pk), follow=True)
    assert "https://issuer.example" not in shown.content.decode()
    allow("view_jwtissuer")
    assert browser.get(url("policychange_change", hidden.pk)).status_code == 200
