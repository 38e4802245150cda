from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from project.environment import caches, database, proxy_ssl_header, required, single_settings


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("shop", "shop", id="a word is itself"),
        pytest.param("60/min", "60/min", id="so is a rate"),
        pytest.param('"10"', "10", id="a quoted string is its content"),
        pytest.param("0.5", 0.5, id="a number"),
        pytest.param("false", False, id="a boolean"),
        pytest.param("null", None, id="nothing"),
        pytest.param('["10.0.0.0/8", "unix"]', ["10.0.0.0/8", "unix"], id="a list"),
        pytest.param('{"a": "b"}', {"a": "b"}, id="a dict"),
        pytest.param('["broken', '["broken', id="broken JSON is left for the settings to refuse"),
    ],
)
def test_a_single_setting_is_json_or_the_string_that_it_is(text, value):
    assert single_settings({"APIGUARD_X_Y": text, "OTHER": "1"}) == {"X_Y": value}


@pytest.mark.parametrize("values", [{}, {"SECRET_KEY": ""}])
def test_a_missing_secret_is_reported_with_the_way_out(values):
    with pytest.raises(ImproperlyConfigured, match=r"SECRET_KEY is not set.*scripts/demo"):
        required("SECRET_KEY", values)


def test_sqlite_takes_its_write_lock_at_the_start_of_a_transaction():
    config = database({"ENGINE": "django.db.backends.sqlite3", "NAME": "x"})
    assert config["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in config["OPTIONS"]["init_command"]


def test_other_databases_are_left_as_their_url_says():
    config = {"ENGINE": "django.db.backends.postgresql", "NAME": "x"}
    assert database(config) == config


def test_counters_stay_in_memory_without_redis():
    assert set(caches("")) == {"default"}


def test_redis_serves_the_counters_alone_and_is_not_waited_for():
    made = caches("redis://127.0.0.1:6379/3")
    assert "locmem" in made["default"]["BACKEND"]
    assert made["apiguard"]["LOCATION"] == "redis://127.0.0.1:6379/3"
    assert made["apiguard"]["OPTIONS"]["SOCKET_TIMEOUT"] <= 0.05


def test_the_header_of_a_proxy_that_ends_tls_is_a_name_and_a_value():
    assert proxy_ssl_header("HTTP_X_FORWARDED_PROTO=https") == ("HTTP_X_FORWARDED_PROTO", "https")
    assert proxy_ssl_header("") is None
    with pytest.raises(ImproperlyConfigured, match="is not NAME=value"):
        proxy_ssl_header("HTTP_X_FORWARDED_PROTO")
