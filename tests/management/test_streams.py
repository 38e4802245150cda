"""Standard streams that close, fill up or hold no text, and Ctrl+C: never a traceback."""

from __future__ import annotations

import dataclasses
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from apiguard.management.commands import _publish
from apiguard.management.commands import apiguard as command_module
from tests.servers import CHECKOUT, clean_environment, manage

FULL = Path("/dev/full")

# In a process: what closes is a descriptor, not a Python object.
CLOSING = """
import os, sys
os.close({descriptor})
os.execv(sys.executable, [sys.executable, "manage.py", "apiguard", *sys.argv[1:]])
"""


def with_output(env, output, *arguments, unbuffered="1"):
    """Run the command with this standard output; return its status and standard error."""
    run = subprocess.run(
        [sys.executable, "manage.py", "apiguard", *arguments],
        cwd=CHECKOUT,
        env={**clean_environment(env), "PYTHONUNBUFFERED": unbuffered},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
        check=False,
    )
    return run.returncode, run.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_command_goes_on_to_its_end_after_its_reader_has_left(demo_site_in_memory, unbuffered):
    env = demo_site_in_memory.env
    reader, writer = os.pipe()
    os.close(reader)
    try:
        for arguments in (("key", "list"), ("changes", "--json"), ("export",)):
            status, err = with_output(env, writer, *arguments, unbuffered=unbuffered)
            assert (status, "Traceback" in err, "Broken" in err) == (0, False, False), err
        status, err = with_output(env, writer, "client", "create", f"piped{unbuffered}")
        assert (status, "Traceback" in err) == (0, False), err
    finally:
        os.close(writer)
    again = manage("apiguard", "client", "create", f"piped{unbuffered}", env=env)
    assert again.returncode == 2


@pytest.mark.skipif(not FULL.exists(), reason="a device of Linux")
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_output_that_cannot_be_written_is_said(demo_site_in_memory, unbuffered):
    with FULL.open("w") as full:
        status, err = with_output(
            demo_site_in_memory.env, full, "key", "list", unbuffered=unbuffered
        )
    assert status == 2
    assert "could not be written (No space left on device)" in err
    assert "Traceback" not in err
    assert "Exception ignored" not in err


@pytest.mark.parametrize(
    ("descriptor", "arguments", "words"),
    [
        (1, ("key", "list"), "Standard output is closed"),
        (0, ("key", "verify", "-"), "Standard input is closed"),
        (0, ("plan", "-"), "Standard input is closed"),
        (0, ("explain", "GET", "/api/", "--credential", "-"), "Standard input is closed"),
    ],
    ids=["key list", "key verify", "plan", "explain"],
)
def test_a_closed_stream_is_said(demo_site_in_memory, descriptor, arguments, words):
    run = subprocess.run(
        [sys.executable, "-c", CLOSING.format(descriptor=descriptor), *arguments],
        cwd=CHECKOUT,
        env=clean_environment(demo_site_in_memory.env),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 2
    assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_an_interrupted_command_ends_without_a_traceback(run, monkeypatch):
    def interrupted(console, options):
        console.line("The first half.")
        raise KeyboardInterrupt

    command = dataclasses.replace(_publish.COMMAND, run=interrupted)
    monkeypatch.setattr(command_module, "COMMANDS", (command,))
    said = run("publish")
    assert (said.status, said.out, said.err) == (130, "The first half.\n", "Interrupted.")


@pytest.mark.django_db
def test_a_credential_that_is_no_text_is_refused_without_being_shown(run, monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(b"ag_live_\xff"), encoding="utf-8", errors="strict")
    monkeypatch.setattr(sys, "stdin", stdin)
    said = run("explain", "GET", "/api/", "--credential", "-")
    assert said.status == 2
    assert "is no key or token" in said.err
    assert "ag_live" not in said.err
