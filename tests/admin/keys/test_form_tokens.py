"""One form, one key; also where the first try was rolled back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError

from apiguard.admin.keys import form_tokens
from apiguard.models import ApiKey

from ..pages import fields_of, url


@pytest.fixture
def request_(db):
    session = SessionStore()
    session.create()
    return SimpleNamespace(session=session)


def test_a_used_token_names_the_key_that_it_made(request_, key):
    form_tokens.check_unused(request_, "t")
    form_tokens.consume(request_, "t", key.pk)
    with pytest.raises(form_tokens.FormTokenUsed) as told:
        form_tokens.check_unused(request_, "t")
    assert told.value.key_pk == key.pk
    with pytest.raises(form_tokens.FormTokenUsed):
        form_tokens.consume(request_, "t", key.pk + 1)


def test_the_mark_of_a_try_that_was_rolled_back_stands_in_nobodys_way(request_, key):
    form_tokens.consume(request_, "t", key.pk + 100)
    form_tokens.consume(request_, "t", key.pk)
    with pytest.raises(form_tokens.FormTokenUsed):
        form_tokens.consume(request_, "t", key.pk + 1)


def test_only_so_many_tokens_are_kept(request_, key, monkeypatch):
    monkeypatch.setattr(form_tokens, "KEPT", 3)
    for number in range(5):
        form_tokens.consume(request_, f"t{number}", key.pk)
    assert list(request_.session[form_tokens.SESSION_KEY]) == ["t2", "t3", "t4"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["apikey_add", "apikey_rotate"])
def test_a_try_that_another_editor_overtook_is_made_again(
    admin_client, acme, key, monkeypatch, what
):
    address = url(what, *([key.pk] if what == "apikey_rotate" else []))
    typed = {"client": acme.pk, "name": "new", "how": "planned", "reason": "yearly"}
    data = {**fields_of(admin_client.get(address).content.decode()), **typed}
    use, tries = form_tokens.consume, []

    def conflicts_once(*args):
        use(*args)
        tries.append(args)
        if len(tries) == 1:
            raise OperationalError("database is locked")

    monkeypatch.setattr(form_tokens, "consume", conflicts_once)
    response = admin_client.post(address, data)
    assert (response.status_code, len(tries)) == (200, 2)
    assert b"apiguard-key" in response.content
    assert ApiKey.objects.count() == 2
