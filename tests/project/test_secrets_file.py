from __future__ import annotations

import os
import stat

import pytest

from project.secrets_file import CHECKOUT, ensure_secrets, read_secrets, secrets_path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "secrets"


def test_the_file_is_at_the_top_of_the_checkout():
    assert secrets_path({}) == CHECKOUT / ".env.demo"
    assert (CHECKOUT / "manage.py").exists()


def test_missing_secrets_are_written_for_the_owner_alone(path):
    ensure_secrets({"SECRETS_FILE": str(path)})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = read_secrets(path)
    assert set(written) == {"SECRET_KEY", "JWT_SECRET", "KEY_PEPPER"}
    assert all(len(value) >= 50 for value in written.values())
    assert len(set(written.values())) == 3


def test_secrets_are_written_once(path):
    ensure_secrets({"SECRETS_FILE": str(path)})
    before = path.read_bytes()
    ensure_secrets({"SECRETS_FILE": str(path)})
    assert path.read_bytes() == before


def test_nothing_is_written_where_the_environment_has_both(path):
    ensure_secrets({"SECRETS_FILE": str(path), "SECRET_KEY": "a", "JWT_SECRET": "b"})
    assert not path.exists()


def test_what_is_there_is_kept_and_the_rest_added(path):
    path.write_text("# mine\nSECRET_KEY=mine=really\n")
    ensure_secrets({"SECRETS_FILE": str(path)})
    assert read_secrets(path)["SECRET_KEY"] == "mine=really"
    assert read_secrets(path)["JWT_SECRET"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_does_not_exist_holds_nothing(path):
    assert read_secrets(path) == {}


def test_a_device_keeps_its_mode(monkeypatch):
    changed = []
    # Recorded, not done: as root it would take the device from everybody else.
    monkeypatch.setattr(os, "fchmod", lambda *given: changed.append(given))
    ensure_secrets({"SECRETS_FILE": os.devnull})
    assert changed == []


def test_a_last_line_without_its_end_is_kept(path):
    path.write_text("SECRET_KEY=mine")
    ensure_secrets({"SECRETS_FILE": str(path)})
    assert read_secrets(path)["SECRET_KEY"] == "mine"
    assert set(read_secrets(path)) == {"SECRET_KEY", "JWT_SECRET", "KEY_PEPPER"}
