"""No key in a log: whatever part of a record it came in."""

from __future__ import annotations

import io
import json
import logging

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from apiguard.rules import keys
from apiguard.telemetry.masking import MaskKeys

KEY = keys.generate("ag", "live")
MASKED = f"ag_live_{KEY.key_id}_…"


class Said:
    """An argument that shows its key only when it is formatted."""

    def __init__(self, text):
        self.text = text

    def __str__(self):
        return self.text

    __repr__ = __str__


class Falls:
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.fixture
def log():
    """``log(write)``: what a handler with the filter printed, and the last record."""
    logger = logging.getLogger("tests.masking")
    logger.propagate = False

    def go(write, layout="%(message)s"):
        printed = io.StringIO()
        handler = logging.StreamHandler(printed)
        handler.addFilter(MaskKeys())
        handler.setFormatter(logging.Formatter(layout))
        logger.handlers, logger.level = [handler], logging.DEBUG
        write(logger)
        return printed.getvalue()

    yield go
    logger.handlers = []


def raise_with_the_key(logger):
    try:
        raise ValueError(KEY.text)
    except ValueError:
        logger.exception("failed")


@pytest.mark.parametrize(
    ("write", "layout"),
    [
        pytest.param(lambda log: log.info(KEY.text), "%(message)s", id="message"),
        pytest.param(lambda log: log.info("got %s", KEY.text), "%(message)s", id="argument"),
        pytest.param(lambda log: log.info("%(k)s", {"k": KEY.text}), "%(message)s", id="mapping"),
        pytest.param(lambda log: log.info("%s", Said(KEY.text)), "%(message)s", id="an object"),
        pytest.param(
            lambda log: log.info("%r", [{"h": KEY.text}]), "%(message)s", id="inside a list"
        ),
        pytest.param(lambda log: log.info("%r", KEY.text.encode()), "%(message)s", id="bytes"),
        pytest.param(
            lambda log: log.info("x", extra={"header": KEY.text}), "%(header)s", id="extra"
        ),
        pytest.param(raise_with_the_key, "%(message)s", id="traceback"),
        pytest.param(lambda log: log.info("GET /?k=%%22%s%%22", KEY.text), "%(message)s", id="url"),
        pytest.param(
            lambda log: log.info("%s", json.dumps(f"a\n{KEY.text}\nb")), "%(message)s", id="json"
        ),
        pytest.param(lambda log: log.info("%s", KEY.text[:40]), "%(message)s", id="cut short"),
        pytest.param(lambda log: log.info("%s", KEY.text + "x"), "%(message)s", id="too long"),
    ],
)
def test_a_key_is_masked_wherever_it_stands(log, write, layout):
    printed = log(write, layout)
    assert MASKED in printed
    assert KEY.secret[:8] not in printed


@pytest.mark.parametrize("before", ["", "Api-Key ", "/?k=%22", '["a\\n', "x."])
def test_an_imported_key_is_masked_too(log, before):
    key = "abcdEFGH." + "aB3d" * 8
    assert log(lambda log: log.info("got %s", f"{before}{key}")) == f"got {before}abcdEFGH._…\n"


def test_a_record_without_keys_stays_as_it_was():
    try:
        raise ValueError("plain")
    except ValueError:
        record = logging.getLogger("x").makeRecord(
            "x", logging.INFO, "f", 1, "got %s of %d", ("ag_live", 7), __import__("sys").exc_info()
        )
    assert MaskKeys().filter(record)
    assert (record.msg, record.args, record.exc_text) == ("got %s of %d", ("ag_live", 7), None)


def test_what_is_masked_already_stays(log):
    assert log(lambda log: log.info(MASKED)) == f"{MASKED}\n"


@pytest.mark.parametrize(
    ("message", "args"),
    [
        pytest.param("%d", ("no number",), id="wrong type"),
        pytest.param("%s %s", ("one",), id="too few"),
        pytest.param("%s", (Falls(),), id="an argument that cannot be printed"),
        pytest.param(None, (), id="no text"),
    ],
)
def test_a_record_that_cannot_be_formatted_is_passed_on(message, args):
    record = logging.LogRecord("x", logging.INFO, "f", 1, message, args, None)
    assert MaskKeys().filter(record)


def test_the_reference_site_masks_what_it_prints():
    console = next(handler for handler in logging.getLogger().handlers if handler.name == "console")
    assert any(isinstance(each, MaskKeys) for each in console.filters)


def test_the_namespace_is_that_of_the_settings(log):
    other = keys.generate("shop", "test")
    with override_settings(APIGUARD={"KEY_NAMESPACE": "shop"}):
        printed = log(lambda log: log.info("%s %s", other.text, KEY.text))
    assert other.secret not in printed
    assert KEY.text in printed


def test_wrong_settings_do_not_silence_the_log(log):
    with override_settings(APIGUARD={"KEY_NAMESPACE": "!"}):
        assert log(lambda log: log.info("said %s", KEY.text)) == f"said {MASKED}\n"


cut = st.integers(1, 24).map(lambda length: KEY.text[:length])
digits = st.text("ag_live01", max_size=14)
pieces = st.lists(st.one_of(st.text(), digits, cut, st.just(KEY.text)), max_size=5)


@given(pieces, pieces, st.sampled_from(["%s", "%r", "%.60s", "%d", "%", ""]))
def test_no_record_carries_the_secret_through(message, args, conversion):
    text = "".join(message).replace("%", "%%") + conversion
    record = logging.LogRecord("x", logging.INFO, "f", 1, text, tuple(args), None)
    assert MaskKeys().filter(record)
    try:
        shown = record.getMessage()
    except (TypeError, ValueError):
        shown = str(record.msg) + str(record.args)
    assert KEY.secret not in shown


@given(st.text(), st.text())
def test_masking_twice_is_masking_once(before, after):
    once = keys.mask(before + KEY.text + after, "ag")
    assert keys.mask(once, "ag") == once
    assert KEY.secret not in once
