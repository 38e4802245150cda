"""Marked rows of the table of CORS as a script in Chromium sees them, and what only it can show.

The site is asked as http://127.0.0.1:<port>; pages are http://localhost:<another
port> and http://stranger.localhost:<that port>. What fails leaves a picture of
the console.
"""

from __future__ import annotations

import json
import time
import uuid

import pytest

from tests.request.cors_cases import IN_BROWSER
from tests.server.cors_served import cors_demo, pages, serving_cors

pytestmark = [pytest.mark.slow, pytest.mark.browser]

# Asks, and tells what a script gets to know.
ASK = """
async function ask(url, init) {
  try {
    const answer = await fetch(url, init);
    const body = answer.type === "opaque" ? "" : await answer.text();
    return {readable: true, status: answer.status, url: answer.url, body,
            headers: Object.fromEntries(answer.headers)};
  } catch (error) { return {readable: false, error: String(error)}; }
}
"""
IN_PAGE = ASK + "const done = arguments[2]; ask(arguments[0], arguments[1]).then(done);"
# A sandboxed frame without allow-same-origin: its Origin is null.
IN_SANDBOX = """
const done = arguments[2];
window.addEventListener("message", event => done(event.data), {once: true});
const frame = document.createElement("iframe");
frame.sandbox = "allow-scripts";
frame.srcdoc = "<script>" + arguments[3] +
  `ask(${JSON.stringify(arguments[0])}, ${JSON.stringify(arguments[1])})` +
  ".then(told => parent.postMessage(told, '*'))<" + "/script>";
document.body.append(frame);
"""


@pytest.fixture(scope="module")
def site(demo_template, tmp_path_factory):
    demo = cors_demo(demo_template, tmp_path_factory.mktemp("cors"))
    with serving_cors("gunicorn", demo) as server:
        yield server


@pytest.fixture(scope="module")
def page_port():
    with pages() as port:
        yield port


class Script:
    """A page in Chromium, by its origin."""

    def __init__(self, browser, page_port, folder):
        self.browser, self.folder = browser, folder
        self.origins = {
            "{page}": f"http://localhost:{page_port}",
            "{stranger}": f"http://stranger.localhost:{page_port}",
            "null": f"http://localhost:{page_port}",
        }

    def ask(self, origin, url, **init):
        self.browser.get(f"{self.origins[origin]}/")
        self.browser.set_script_timeout(30)
        script = IN_SANDBOX if origin == "null" else IN_PAGE
        # The last argument of a script is its callback: what a sandbox runs goes into the text.
        text = script.replace("arguments[3]", json.dumps(ASK))
        return self.browser.execute_async_script(text, url, init)

    def picture_of_the_console(self):
        """The console, written into the page and photographed; where the picture is."""
        lines = [f"{line['level']}: {line['message']}" for line in self.browser.get_log("browser")]
        self.browser.execute_script(
            "document.body.innerHTML = '<pre style=\"white-space:pre-wrap\"></pre>';"
            "document.querySelector('pre').textContent = arguments[0];",
            "\n".join(lines) or "(the console is empty)",
        )
        path = self.folder / "console.png"
        self.browser.save_screenshot(str(path))
        return path, lines


@pytest.fixture
def script(browser, page_port, tmp_path):
    return Script(browser, page_port, tmp_path)


@pytest.fixture(autouse=True)
def _picture(request, script):
    yield
    report = getattr(request.node, "called", None)
    if report is not None and report.failed:
        path, lines = script.picture_of_the_console()
        print(f"console: {path}", *lines, sep="\n")  # noqa: T201 - pytest shows it with the failure


def local(site, path):
    """A URL that nobody has asked for, so that no preflight of it is remembered."""
    return f"http://127.0.0.1:{site.port}{path}?{uuid.uuid4().hex}"


def asked(site, url, method, times):
    """Whether the server was asked so often; it writes its log after it has answered."""
    query = url.partition("?")[2]
    deadline = time.monotonic() + 10
    while True:
        lines = [line for line in site.log().splitlines() if query in line]
        count = sum(line.startswith(f"asked {method} ") for line in lines)
        if count == times or time.monotonic() > deadline:
            return count == times
        time.sleep(0.05)


@pytest.mark.parametrize("case", IN_BROWSER, ids=lambda case: case.id)
def test_a_script(case, site, script, cors_table):
    cors_table("Chromium")
    fetch, origin = case.fetch, dict(case.headers)["Origin"]
    url = local(site, case.path)
    told = script.ask(
        origin, url, method=fetch.method, headers=dict(fetch.headers), credentials=fetch.credentials
    )
    assert told["readable"] is fetch.readable, told
    if case.is_preflight:
        assert asked(site, url, "OPTIONS", 1)
        assert asked(site, url, fetch.method.upper(), 1 if fetch.readable else 0)
    else:
        assert asked(site, url, fetch.method, 1)
        assert asked(site, url, "OPTIONS", 0)
    if fetch.readable:
        assert told["status"] == (200 if case.is_preflight else case.status)
        assert set(fetch.sees) <= set(told["headers"])
        assert set(fetch.hidden) & set(told["headers"]) == set()


# -- credentials --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "credentials", "readable", "cookie"),
    [
        pytest.param("local-creds", "include", True, "alice", id="sent and readable"),
        pytest.param("local-creds", "same-origin", True, None, id="not sent"),
        pytest.param("local-creds", "omit", True, None, id="left out"),
        pytest.param("local", "include", False, None, id="sent and not readable"),
        pytest.param("anybody", "include", False, None, id="never with a star"),
    ],
)
def test_cookies_go_along_where_both_sides_want_it(
    policy, credentials, readable, cookie, site, script, cors_table
):
    cors_table("Chromium")
    # The same site, another origin: browsers send cookies between ports.
    base = f"http://localhost:{site.port}"
    script.browser.get(f"{base}/none/sign-in")
    told = script.ask("{page}", f"{base}/{policy}/ok", credentials=credentials)
    assert told["readable"] is readable, told
    if readable:
        assert json.loads(told["body"])["cookie"] == cookie


def test_a_sandbox_never_gets_what_cookies_could_read(site, script, cors_table):
    cors_table("Chromium")
    base = f"http://localhost:{site.port}"
    script.browser.get(f"{base}/none/sign-in")
    told = script.ask("null", f"{base}/local-creds/ok", credentials="include")
    assert told["readable"] is False


# -- preflights that are remembered -------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "preflights"),
    [pytest.param("local", 1, id="for ten minutes"), pytest.param("local-forgetful", 2, id="not")],
)
def test_a_preflight_is_remembered_as_long_as_the_policy_says(
    policy, preflights, site, script, cors_table
):
    cors_table("Chromium")
    url = local(site, f"/{policy}/ok")
    script.browser.get(f"{script.origins['{page}']}/")
    twice = ASK + (
        "const [url, init, done] = arguments;"
        "ask(url, init).then(first => ask(url, init).then(second => done([first, second])));"
    )
    told = script.browser.execute_async_script(twice, url, {"method": "PUT"})
    assert [answer["readable"] for answer in told] == [True, True]
    assert asked(site, url, "PUT", 2)
    assert asked(site, url, "OPTIONS", preflights)


# -- redirections -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "method", "target", "readable"),
    [
        pytest.param("moved", "GET", "/local/ok", True, id="within the site"),
        pytest.param("moved", "GET", "/none/ok", False, id="to where no policy is"),
        pytest.param("moved", "GET", "/empty/ok", False, id="to where nobody is permitted"),
        pytest.param("kept", "PUT", "/local/ok", True, id="with a preflight before each"),
        pytest.param(
            "kept", "PUT", "/local-bare/ok", False, id="a method that is not listed there"
        ),
    ],
)
def test_every_step_of_a_redirection_has_to_permit_the_page(
    view, method, target, readable, site, script, cors_table
):
    cors_table("Chromium")
    url = f"http://127.0.0.1:{site.port}/local/{view}?to={target}"
    told = script.ask("{page}", url, method=method)
    assert told["readable"] is readable, told
    if readable:
        assert told["url"].endswith(target)


@pytest.mark.parametrize(
    ("policy", "readable"),
    [pytest.param("local", False, id="listed"), pytest.param("anybody", True, id="anybody")],
)
def test_a_redirection_to_another_site_comes_from_null(policy, readable, site, script, cors_table):
    cors_table("Chromium")
    there = f"http://localhost:{site.port}/{policy}/ok"
    url = f"http://127.0.0.1:{site.port}/local/moved?to={there}"
    told = script.ask("{page}", url)
    assert told["readable"] is readable, told
