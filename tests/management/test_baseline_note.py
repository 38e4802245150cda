from __future__ import annotations

import pytest
from django.core.management import call_command


@pytest.mark.django_db
def test_enforcing_a_baseline_that_observes_says_that_it_stays_so(capsys):
    call_command("apiguard", "baseline")
    call_command("apiguard", "baseline", "--enforce")
    assert "stays in mode 'observe'" in capsys.readouterr().err


@pytest.mark.django_db
def test_another_preset_for_a_route_that_is_there_says_that_it_keeps_its_headers(capsys):
    call_command("apiguard", "baseline")
    call_command("apiguard", "baseline", "--preset", "strict")
    assert "keeps its header policy 'api'" in capsys.readouterr().err
    call_command("apiguard", "baseline", "--preset", "strict", "--prefix", "/v2/")
    assert "keeps its header policy" not in capsys.readouterr().err
