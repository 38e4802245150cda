"""Nobody becomes somebody else by way of a client that acts as its owner."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from apiguard.models import ApiKey, Client, PolicyChange

from .pages import errors_of, fill_in, url

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


def test_a_key_of_a_client_that_acts_as_an_ordinary_user_may_be_made(staff, acting, made):
    assert made(staff(*KEYS), acting)


def test_a_key_of_a_client_that_staff_owns_and_that_acts_as_nobody_may_be_made(staff, acting, made):
    Client.objects.update(acts_as_owner=False)
    assert made(staff(*KEYS), acting, is_superuser=True)
