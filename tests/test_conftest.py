"""What the conftest promises about skipped tests, and about runs that processes share."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from redis.connection import parse_url

from tests.conftest import own_database
from tests.servers import clean_environment

SOURCES = {
    "a mark": "import pytest\n@pytest.mark.skip(reason='why')\ndef test_it(): pass\n",
    "a call": "import pytest\ndef test_it(): pytest.skip('why')\n",
    "a module": "import pytest\npytest.skip('why', allow_module_level=True)\n",
}


PROCESSES = pytest.mark.parametrize(
    "processes",
    [pytest.param(["-p", "no:xdist"], id="one process"), pytest.param(["-n2"], id="two")],
)


def outcome_of(source, folder, processes=(), **env):
    (folder / "test_skipped.py").write_text(source)
    options = ["-p", "no:django", "-p", "no:cacheprovider", "-p", "tests.conftest", "-rs"]
    options += processes
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", folder, folder],
        cwd=folder,
        env=clean_environment(env),
        capture_output=True,
        text=True,
        check=False,
    )


def write_skipped(folder):
    """One file for each way of skipping."""
    for name, source in zip("abc", SOURCES.values(), strict=True):
        (folder / f"test_{name}.py").write_text(source)


@PROCESSES
def test_a_skipped_test_fails_in_ci_and_says_why(tmp_path, processes):
    write_skipped(tmp_path)
    options = [*processes, "--continue-on-collection-errors"]
    done = outcome_of("def test_it(): pass", tmp_path, options, CI="true")
    assert done.returncode in (1, 2)
    assert done.stdout.count("Nothing may be skipped in CI. ") >= len(SOURCES)
    assert "why" in done.stdout
    # Where a mark or a module says so, it is found before the test begins.
    assert "1 failed, 1 passed, 2 errors" in done.stdout


def test_elsewhere_it_is_skipped_and_a_run_names_the_servers_it_uses(tmp_path):
    write_skipped(tmp_path)
    done = outcome_of("def test_it(): pass", tmp_path)
    printed = done.stdout
    assert done.returncode == 0
    assert "1 passed, 3 skipped" in printed
    assert re.search(r"^redis: (Redis|Valkey) server v=\d", printed, re.MULTILINE)
    assert re.search(r"^postgresql: postgres \(PostgreSQL\) \d", printed, re.MULTILINE)


def test_an_expected_failure_is_no_skip(tmp_path):
    source = "import pytest\n@pytest.mark.xfail(reason='why')\ndef test_it(): assert False\n"
    done = outcome_of(source, tmp_path, CI="true")
    assert done.returncode == 0, done.stdout


@PROCESSES
def test_rows_of_the_table_of_cors_are_counted_by_driver(tmp_path, processes):
    rows = [
        "def test_a(cors_table): cors_table('x')",
        "def test_b(cors_table): cors_table('x'); 1/0",
    ]
    done = outcome_of("\n".join(rows), tmp_path, processes)
    assert "x: 2 rows, 1 passed, 1 failed" in done.stdout


def test_rows_of_the_table_of_cors_do_not_break_a_report_in_xml(tmp_path):
    report = ["-W", "error", "--junitxml", str(tmp_path / "report.xml")]
    done = outcome_of("def test_a(cors_table): cors_table('x')", tmp_path, report)
    assert done.returncode == 0, done.stdout
    assert 'name="cors_table" value="x"' in (tmp_path / "report.xml").read_text()


def files_in_order(folder, processes):
    """Process and file of each test that passed, in the order in which they did."""
    many = "import pytest\n@pytest.mark.parametrize('n', range(9))\ndef test_it(n): pass\n"
    for name in ("a", "b", "c"):
        (folder / f"test_{name}.py").write_text(many)
    done = outcome_of(f"{many}pytestmark = pytest.mark.slow", folder, ["-v", f"-n{processes}"])
    return re.findall(r"\[(gw\d)\] .*PASSED (test_\w+)", done.stdout)


def test_a_file_stays_in_one_process(tmp_path):
    ran = files_in_order(tmp_path, 2)
    assert len(ran) == 4 * 9
    assert {process for process, _ in ran} == {"gw0", "gw1"}
    assert len(set(ran)) == 4


def test_files_that_start_servers_come_first_where_processes_share_a_run(tmp_path):
    ran = files_in_order(tmp_path, 1)
    assert [name for _, name in ran[::9]] == ["test_skipped", "test_a", "test_b", "test_c"]


@pytest.mark.parametrize(
    ("named", "own"),
    [
        pytest.param("redis://h:1/3", "redis://h:1/3?db=5", id="path"),
        pytest.param("redis://h:1", "redis://h:1?db=2", id="nothing"),
        pytest.param("rediss://u:p%40@h/0?a=b", "rediss://u:p%40@h/0?a=b&db=2", id="options"),
        pytest.param("redis://h/7?a=b&db=3", "redis://h/7?a=b&db=5", id="query"),
        pytest.param("unix:///s?db=1", "unix:///s?db=3", id="socket"),
    ],
)
def test_of_a_redis_that_is_named_each_process_takes_a_database_of_its_own(named, own):
    assert own_database(named, "gw2") == own
    first = parse_url(named).get("db", 0)
    databases = [parse_url(own_database(named, f"gw{number}"))["db"] for number in range(3)]
    assert databases == [first, first + 1, first + 2]
