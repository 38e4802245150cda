"""What the conftest promises about skipped tests."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.servers import CHECKOUT, clean_environment

SOURCES = {
    "a mark": "import pytest\n@pytest.mark.skip(reason='why')\ndef test_it(): pass\n",
    "a call": "import pytest\ndef test_it(): pytest.skip('why')\n",
    "a module": "import pytest\npytest.skip('why', allow_module_level=True)\n",
}


def outcome_of(source, folder, **env):
    (folder / "test_skipped.py").write_text(source)
    options = ["-p", "no:django", "-p", "no:cacheprovider", "-p", "tests.conftest", "-rs"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", folder, folder],
        cwd=folder,
        env=clean_environment({"PYTHONPATH": str(CHECKOUT), **env}),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("how", SOURCES)
def test_a_skipped_test_fails_in_ci_and_says_why(how, tmp_path):
    done = outcome_of(SOURCES[how], tmp_path, CI="true")
    assert done.returncode in (1, 2)
    assert "Nothing may be skipped in CI. " in done.stdout
    assert "why" in done.stdout


@pytest.mark.parametrize("how", SOURCES)
def test_elsewhere_it_is_skipped(how, tmp_path):
    done = outcome_of(SOURCES[how], tmp_path)
    assert "1 skipped" in done.stdout
    assert done.returncode in (0, 5)


def test_an_expected_failure_is_no_skip(tmp_path):
    source = "import pytest\n@pytest.mark.xfail(reason='why')\ndef test_it(): assert False\n"
    done = outcome_of(source, tmp_path, CI="true")
    assert done.returncode == 0, done.stdout


def test_rows_of_the_table_of_cors_are_counted_by_driver(tmp_path):
    rows = [
        "def test_a(cors_table): cors_table('x')",
        "def test_b(cors_table): cors_table('x'); 1/0",
    ]
    done = outcome_of("\n".join(rows), tmp_path)
    assert "x: 2 rows, 1 passed, 1 failed" in done.stdout
