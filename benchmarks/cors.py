"""What CORS costs with many origins and with hostile preflights, beside django-cors-headers.

    python -m benchmarks.cors [--quick] [--json FILE]

Whole middlewares in this process, asked in turns; then both under gunicorn, one
worker each, over one kept connection each. Microseconds are medians. What is
meant to be constant is told as a ratio. Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.cors_site import HEADERS, asked, configure, origins, policy
from benchmarks.tables import Table, progress, say
from tests.servers import clean_environment, gunicorn

MANY = 10_000
PEERS = ("apiguard", "corsheaders")
EVIL = "https://evil.example"
# Of one header line, gunicorn reads so many bytes, name and blanks included.
GUNICORN_LINE = 8190
# And so many lines; a few are taken by others.
GUNICORN_LINES = 90
PADDED = f"{GUNICORN_LINES} lines of another header"

Asking = Callable[[], object]
Figures = dict[str, float]


def in_turns(tasks: Mapping[str, Asking], rounds: int, each: int = 20) -> Figures:
    """Median microseconds of each task; all take part in every round."""
    spent: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            begun = time.perf_counter()
            for _ in range(each):
                task()
            spent[name].append((time.perf_counter() - begun) / each * 1e6)
    return {name: statistics.median(times) for name, times in spent.items()}


# -- in process -------------------------------------------------------------------


def preflight(origin: str, names: str) -> dict[str, str]:
    return {
        "HTTP_ORIGIN": origin,
        "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT",
        "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": names,
    }


def hostile(longest: int) -> dict[str, str]:
    """Name -> Access-Control-Request-Headers; ``longest`` characters where there is room."""
    listed = ",".join(name.lower() for name in HEADERS)
    return {
        "ordinary": "authorization,content-type",
        "listed names, 4,096 characters": f"{listed}," * (4096 // (len(listed) + 1)),
        "10,000 commas": "," * min(10_000, longest),
        "unlisted names without end": ("x," * (longest // 2))[:longest],
        "one name without end": "x" * longest,
        "blanks without end": (" \t" * (longest // 2))[:longest],
    }


def asking(peer: str, method: str, environ: Mapping[str, str]) -> Asking:
    """One request through one middleware; making the request is part of it for both."""
    from django.http import HttpResponse
    from django.test import RequestFactory
    from django.utils.module_loading import import_string

    from benchmarks.cors_site import MIDDLEWARE

    middleware = import_string(MIDDLEWARE[peer])(lambda request: HttpResponse("ok"))
    factory = RequestFactory()
    request = factory.generic(method, "/api/plain", **environ)
    meta, kind = request.environ, type(request)
    return lambda: middleware(kind(meta))


def with_policy(snapshot: Any, task: Asking) -> Asking:
    from apiguard.policy.holder import holder

    def ask() -> None:
        holder._override = snapshot
        task()

    return ask


def with_settings(number: int, task: Asking) -> Asking:
    from django.conf import settings

    listed = origins(number)

    def ask() -> None:
        settings.CORS_ALLOWED_ORIGINS = listed
        task()

    return ask


def growth(rounds: int) -> tuple[Table, Figures]:
    """One origin and many: exact ones and families, permitted and foreign."""
    tasks: dict[str, Asking] = {}
    for kind in ("exact", "family"):
        for number in (1, MANY):
            progress(f"compiling {number:,} origins ({kind})")
            snapshot = policy(number, kind)
            for what, origin in (("permitted", asked(number, kind)), ("foreign", EVIL)):
                task = asking("apiguard", "GET", {"HTTP_ORIGIN": origin})
                tasks[f"apiguard, {kind}, {what}|{number}"] = with_policy(snapshot, task)
    for number in (1, MANY):
        for what, origin in (("permitted", asked(number)), ("foreign", EVIL)):
            task = asking("corsheaders", "GET", {"HTTP_ORIGIN": origin})
            tasks[f"corsheaders, exact, {what}|{number}"] = with_settings(number, task)
    progress("asking for one origin and for many")
    for task in tasks.values():
        task()
    # The peer takes milliseconds with many origins: few rounds settle that.
    fast = {name: task for name, task in tasks.items() if not _is_slow(name)}
    slow = {name: task for name, task in tasks.items() if _is_slow(name)}
    found = {**in_turns(fast, rounds), **in_turns(slow, max(5, rounds // 50), each=2)}
    rows = []
    for name in dict.fromkeys(name.partition("|")[0] for name in found):
        one, many = found[f"{name}|1"], found[f"{name}|{MANY}"]
        rows.append([name, f"{one:.1f}", f"{many:.1f}", f"{many / one:.2f}"])
    head = ["the whole middleware, a GET", "1 origin, us", f"{MANY:,} origins, us", "ratio"]
    note = "Middleware alone, around a view that does nothing."
    return Table("Many origins", note, head, rows), found


def _is_slow(name: str) -> bool:
    return name.startswith("corsheaders") and name.endswith(f"|{MANY}")


def preflights(rounds: int) -> tuple[Table, Figures]:
    """Hostile preflights in process, where no server cuts anything."""
    snapshot = policy(1)
    tasks: dict[str, Asking] = {}
    cases = {**hostile(2**20), "an origin of 1 MiB": "authorization"}
    for what, names in cases.items():
        origin = "https://" + "a" * 2**20 if what.startswith("an origin") else asked(1)
        for peer in PEERS:
            task = asking(peer, "OPTIONS", preflight(origin, names))
            ours = peer == "apiguard"
            tasks[f"{what}|{peer}"] = (
                with_policy(snapshot, task) if ours else with_settings(1, task)
            )
    for task in tasks.values():
        task()
    progress("preflights in process")
    found = in_turns(tasks, rounds)
    return Table(
        "Preflights in process",
        "Headers of 1 MiB unless they say otherwise; ratio to the ordinary one.",
        ["Access-Control-Request-Headers", *_heads("us")],
        _rows(cases, found),
    ), found


def _heads(unit: str) -> list[str]:
    return [head for peer in PEERS for head in (f"{peer}, {unit}", "ratio")]


def _rows(cases: Sequence[str] | Mapping[str, Any], found: Figures) -> list[list[str]]:
    rows = []
    for what in cases:
        row = [what]
        for peer in PEERS:
            cost, ordinary = found[f"{what}|{peer}"], found[f"ordinary|{peer}"]
            row += [f"{cost:.1f}", f"{cost / ordinary:.2f}"]
        rows.append(row)
    return rows


# -- through gunicorn ---------------------------------------------------------------


Lines = Sequence[tuple[str, str]]


def over_the_wire(server: Any, lines: Lines) -> Asking:
    """A preflight on a connection that is kept; its status is the answer."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)

    def ask() -> int:
        connection.putrequest("OPTIONS", "/api/plain")
        for name, value in lines:
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        response.read()
        return response.status

    return ask


def wire_cases() -> dict[str, Lines]:
    """What is sent; the last two are the largest heads that gunicorn reads at all."""
    asks = "Access-Control-Request-Headers"
    base = [("Origin", asked(1)), ("Access-Control-Request-Method", "PUT")]
    longest = GUNICORN_LINE - len(f"{asks}: \r\n")
    cases: dict[str, Lines] = {
        what: [*base, (asks, names)] for what, names in hostile(longest).items()
    }
    cases[f"{GUNICORN_LINES} such lines"] = [*base, *[(asks, "x" * longest)] * GUNICORN_LINES]
    cases[PADDED] = [*base, *[("X-Padding-Of-The-Same-Length00", "x" * longest)] * GUNICORN_LINES]
    return cases


def served(rounds: int) -> tuple[Table, Figures]:
    """The largest headers that gunicorn lets through, beside an ordinary preflight."""
    cases = wire_cases()
    with ExitStack() as stack:
        tasks: dict[str, Asking] = {}
        for peer in PEERS:
            progress(f"gunicorn with {peer}")
            env = clean_environment({"BENCH_CORS": peer})
            options = ("--keep-alive", "60")
            application = "benchmarks.cors_site:application"
            started = gunicorn(env, workers=1, threads=16, application=application, options=options)
            server = stack.enter_context(started)
            for what, lines in cases.items():
                tasks[f"{what}|{peer}"] = over_the_wire(server, lines)
        _check_answers(tasks)
        progress("preflights through gunicorn")
        large = {name: task for name, task in tasks.items() if _is_large(name)}
        found = in_turns({name: tasks[name] for name in tasks if name not in large}, rounds, each=5)
        found |= in_turns(large, max(3, rounds // 40), each=1)
    note = (
        f"One worker; a line of {GUNICORN_LINE:,} bytes, which is all it reads, unless it says\n"
        f"otherwise. {GUNICORN_LINES} of them are gunicorn's own cost, whatever their name."
    )
    head = ["Access-Control-Request-Headers", *_heads("us")]
    return Table("Preflights through gunicorn", note, head, _rows(cases, found)), found


def _is_large(name: str) -> bool:
    return name.startswith(str(GUNICORN_LINES))


def _check_answers(tasks: Mapping[str, Asking]) -> None:
    """What is measured is what is meant: ours answers, and refuses what is hostile."""
    for name, task in tasks.items():
        what, _, peer = name.partition("|")
        # Blanks at the ends of a line are no part of it: gunicorn has removed them.
        good = what == PADDED or what.startswith(("ordinary", "listed", "blanks"))
        wanted = 200 if peer != "apiguard" else 204 if good else 403
        if (status := task()) != wanted:
            raise SystemExit(f"{name}: answered {status} instead of {wanted}.")


def promises(grown: Figures, wire: Figures) -> dict[str, float]:
    """The ratios that are promised: growth at most 1.2, the costliest preflight at most 2."""
    names = {name.partition("|")[0] for name in grown if name.startswith("apiguard")}
    return {
        "growth from 1 to 10,000 origins": max(
            grown[f"{name}|{MANY}"] / grown[f"{name}|1"] for name in names
        ),
        "costliest header line through gunicorn to an ordinary preflight": max(
            cost / wire["ordinary|apiguard"]
            for name, cost in wire.items()
            if name.endswith("|apiguard") and not _is_large(name)
        ),
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rounds: a few seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    if find_spec("corsheaders") is None:
        raise SystemExit("Missing: django-cors-headers. pip install -r requirements-bench.txt")
    rounds = 20 if options.quick else 400
    configure(*PEERS)
    grown_table, grown = growth(rounds)
    process_table, process = preflights(rounds)
    wire_table, wire = served(rounds)
    for table in (grown_table, process_table, wire_table):
        say(table.markdown())
    ratios = promises(grown, wire)
    for name, ratio in ratios.items():
        say(f"{name}: {ratio:.2f}")
    if options.json:
        figures = {"growth": grown, "preflights": process, "gunicorn": wire, "promises": ratios}
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
