from __future__ import annotations

import pytest
from django.core.management import call_command


@pytest.mark.django_db
def test_enforcing_a_baseline_that_observes_says_that_it_stays_so(capsys):
    call_command("apiguard", "baseline")
    call_command("apiguard", "baseline", "--enforce")
    assert "stays in mode 'observe'" in capsys.readouterr().err
