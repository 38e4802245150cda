from __future__ import annotations

import pytest
from django.core.management import call_command

from apiguard.models import Route


def test_enforcing_an_existing_route_that_observes_fails_and_changes_nothing(run):
    run("baseline")
    said = run("baseline", "--enforce")
    assert said.status == 1
    assert "stays in mode 'observe'" in said.err
    assert Route.objects.get().mode == "observe"


def test_enforcing_again_is_no_failure_and_changes_nothing(run):
    run("baseline", "--enforce")
    assert run("baseline", "--enforce").status == 0


@pytest.mark.django_db
def test_another_preset_for_a_route_that_is_there_says_that_it_keeps_its_headers(capsys):
    call_command("apiguard", "baseline")
    call_command("apiguard", "baseline", "--preset", "strict")
    assert "keeps its header policy 'api'" in capsys.readouterr().err
    call_command("apiguard", "baseline", "--preset", "strict", "--prefix", "/v2/")
    assert "keeps its header policy" not in capsys.readouterr().err
