"""Who may ask a dashboard for what: each rule is attacked."""

import asyncio
import http.client
import re
from html.parser import HTMLParser

import pytest

from attn_nas.dashboard import serve as serve_module
from attn_nas.dashboard.app import ASSETS, dashboard_app
from attn_nas.dashboard.guard import Rules, is_loopback
from attn_nas.dashboard.library import Library
from attn_nas.dashboard.raw_study import PATHS
from attn_nas.dashboard.serve import serve
from attn_nas.engine.search import Search
from attn_nas.errors import UsageError
from attn_nas.execution.settings import Local
from attn_nas.report.pages.environment import SCRIPTS, static
from attn_nas.space.task import Task
from attn_nas.testing import TableTrainer

HOST = ("host", "127.0.0.1:8090")
TOKEN = "open, sesame"
CHANGES = ("POST", "PUT", "DELETE", "PATCH")


@pytest.fixture(scope="module")
def folder(tiny_space, tmp_path_factory):
    """A folder with one run."""
    folder = tmp_path_factory.mktemp("guarded")
    Search(tiny_space, run=folder / "run", training=TableTrainer(Task(3, 16, 16, 10))).optimize(
        n_trials=5, confirm=0, execution=Local(workers=1)
    )
    return folder


@pytest.fixture(scope="module")
def library(folder):
    """That of the folder."""
    return Library(folder)


@pytest.fixture(scope="module")
def app(library):
    """The dashboard of a server on loopback."""
    return dashboard_app(library, Rules.of("127.0.0.1", None))


@pytest.fixture(scope="module")
def pages(library):
    """An address of each kind of page."""
    keys = [candidate.record.key for candidate in library.run("run").reading().run.candidates]
    run = "/runs/run"
    compared = f"{run}/compare?key={keys[0]}&key={keys[1]}"
    return ["/", run, f"{run}?x=total", f"{run}/candidates/{keys[0]}", compared, f"{run}/compare", f"{run}/insight", "/nowhere"]


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8090", "127.0.0.1.evil.example", "localhost.evil.example:8090", "10.0.0.7:8090", ""),
        *("evil.example@127.0.0.1", "127.0.0.1:8090/api/", "[::1]/api/?", "[::1]evil.example", "127.0.0.1:evil", "::1 evil"),
    ],
)
def test_a_server_on_loopback_answers_to_no_other_name(app, ask, host):
    """A page whose name was bound to 127.0.0.1 gets nothing."""
    answer = ask(app, "/", headers=[("host", host)])
    assert answer.status == 400
    assert "attn-nas search" not in answer.text


@pytest.mark.parametrize("hosts", [[], [HOST, HOST], [HOST, ("host", "evil.example")]])
def test_there_is_exactly_one_host_header(app, ask, hosts):
    """None, or two of which another server might believe the second."""
    assert ask(app, "/", headers=hosts).status == 400


@pytest.mark.parametrize("host", ["localhost:8090", "LOCALHOST", "127.0.0.1", "[::1]:8090"])
def test_names_of_loopback_are_known(app, ask, host):
    """With and without a port."""
    assert ask(app, "/", headers=[("host", host)]).status == 200


def test_a_server_for_others_answers_to_addresses_and_to_names_that_were_given(library, ask):
    """A name could be bound to its address by anybody, an address could not."""
    app = dashboard_app(library, Rules.of("0.0.0.0", None, ["nas.example"]))
    for host in ("192.168.1.5:8090", "[2001:db8::5]:8090", "nas.example:8090", "localhost"):
        assert ask(app, "/", headers=[("host", host)]).status == 200, host
    for host in ("rebound.example:8090", "192.168.1.5.evil.example", "sub.nas.example"):
        assert ask(app, "/", headers=[("host", host)]).status == 400, host


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1:8090", ""])
def test_scripts_of_other_sites_are_refused(app, ask, origin):
    """By the Origin header; another port is another site."""
    for path in ("/", "/runs/run/updates", "/api/studies"):
        assert ask(app, path, headers=[HOST, ("origin", origin)]).status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_can_link_to_a_page_and_no_more(app, ask, site):
    """No image, script, frame or fetch, of pages, streams or data."""
    sent = [HOST, ("sec-fetch-site", site)]
    for mode, kind in (("no-cors", "image"), ("no-cors", "script"), ("cors", "empty"), ("navigate", "iframe")):
        for path in ("/", "/runs/run/updates", "/assets/page.js", "/api/studies", "/csv/1"):
            headers = [*sent, ("sec-fetch-mode", mode), ("sec-fetch-dest", kind)]
            assert ask(app, path, headers=headers).status == 403, (mode, kind, path)
    link = [*sent, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]
    assert ask(app, "/", headers=link).status == 200


def test_own_pages_may_ask(app, ask):
    """Same origin, or an address that was typed."""
    for site in ("same-origin", "none"):
        assert ask(app, "/", headers=[HOST, ("origin", "http://127.0.0.1:8090"), ("sec-fetch-site", site)]).status == 200


@pytest.mark.parametrize("method", [*CHANGES, "OPTIONS", "TRACE", "post"])
def test_nothing_can_be_changed(app, ask, pages, method):
    """Neither on our pages nor in the raw study, whoever asks."""
    raw = ("/dashboard/studies/1", "/api/studies", "/api/studies/1", "/artifacts/1/1", "/csv/1", "//api/studies")
    for path in (*pages, "/assets/page.js", *raw):
        assert ask(app, path, method).status == 405, path


def test_with_allow_edit_own_pages_change_the_raw_study_and_only_that(library, ask, pages):
    """Ours stay as they are, and other sites stay outside."""
    app = dashboard_app(library, Rules.of("127.0.0.1", None, editable=PATHS))
    kind = ("content-type", "application/json")
    own = [HOST, kind, ("origin", "http://127.0.0.1:8090"), ("sec-fetch-site", "same-origin")]
    note = b'{"body": "seen", "version": 1}'
    ask(app, "/runs/run/raw")
    assert ask(app, "/api/studies/1/note", "PUT", own, note).status < 300
    assert ask(app, "/api/studies/1/note", "PUT", [HOST, kind, ("origin", "http://evil.example")], note).status == 403
    link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]
    for foreign in ([("sec-fetch-site", "cross-site")], link):
        assert ask(app, "/api/studies/1/note", "PUT", [HOST, kind, *foreign], note).status == 403
    for path in pages:
        for method in CHANGES:
            assert ask(app, path, method, own).status == 405, (method, path)


@pytest.fixture(scope="module")
def locked(library):
    """The dashboard of a server that demands a token."""
    return dashboard_app(library, Rules.of("0.0.0.0", TOKEN))


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("authorization", "Bearer open, sesam"),),
        (("authorization", "Bearer "),),
        (("authorization", "Bearer öffne dich"),),
        (("cookie", "attn-nas-token-8090=wrong; attn-nas-token=wrong"),),
    ],
)
def test_without_the_token_nothing_is_shown(locked, ask, pages, headers):
    """Not a page, not the raw study, not an asset."""
    for path in (*pages, "/assets/page.js", "/api/studies", "/runs/run/events", "/?token=wrong", "/?token=%ff%fe"):
        answer = ask(locked, path, headers=[HOST, *headers])
        assert answer.status == 401, path
        assert "set-cookie" not in answer.headers


def test_the_address_with_the_token_becomes_a_cookie(locked, ask):
    """It is gone from the address, and the cookie is for this site's pages alone, not for their scripts."""
    for path, place in (("/runs/run?x=total&token=", "/runs/run?x=total"), ("//evil.example/?token=", "/evil.example/")):
        answer = ask(locked, path + TOKEN.replace(" ", "+"))
        assert answer.status == 303
        assert answer.headers["location"] == place
        cookie = answer.headers["set-cookie"]
        assert {"httponly", "samesite=lax"} <= set(cookie.lower().split("; "))
        assert TOKEN not in answer.text
    assert ask(locked, "/", headers=[HOST, ("cookie", cookie.partition("; Path")[0])]).status == 200


def test_programs_bring_the_token_in_a_header(locked, ask):
    """As ``attn-nas watch`` does."""
    assert ask(locked, "/", headers=[HOST, ("authorization", f"Bearer {TOKEN}")]).status == 200


def test_who_listens_beyond_loopback_demands_a_token(folder, monkeypatch, ask):
    """One is made, different each time; on loopback only a given one counts, and a short one is no token."""
    apps, said = [], []
    monkeypatch.setattr(serve_module.uvicorn.Server, "run", lambda self, sockets: apps.append(self.config.app))
    monkeypatch.setattr(serve_module, "_listen", _unreachable)
    for host, token in (("0.0.0.0", None), ("::", None), ("127.0.0.1", None), ("127.0.0.1", "chosen here")):
        serve(folder, host=host, token=token, on_address=said.append)
    assert [ask(app, "/").status for app in apps] == [401, 401, 200, 401]
    first, second, third, fourth = (re.findall(r"token=(.*)", address) for address in said)
    assert len(first[0]) >= 20
    assert first != second
    assert (third, fourth) == ([], ["chosen%20here"])
    with pytest.raises(UsageError, match="at least 8"):
        serve(folder, token="short")
    assert [is_loopback(host) for host in ("localhost", "127.8.8.8", "::1", "nas.example", "0.0.0.0", "::")] == [
        *(True, True, True, False, False, False)
    ]


def _unreachable(host, port):
    """A socket of loopback in place of one that others could reach."""
    listening = serve_module.socket.socket()
    listening.bind(("127.0.0.1", 0))
    return listening


class _Inline(HTMLParser):
    """Collects what a policy without unsafe-inline forbids, and what comes from elsewhere."""

    def __init__(self):
        super().__init__()
        self.found = []
        self._is_script = False

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "script" and found.get("type") == "application/json":
            return  # data of a chart, which a browser does not run
        self._is_script = tag == "script"
        if tag == "style" or (tag == "script" and not found.get("src")):
            self.found.append(tag)
        self.found += [name for name in found if name == "style" or name.startswith("on")]
        places = [value for name, value in found.items() if name in ("src", "href", "action", "srcset", "data") and value]
        self.found += [place for place in places if not re.match(r"[/#](?!/)", place)]

    def handle_data(self, data):
        if self._is_script and data.strip():
            self.found.append(data)


def test_pages_hold_the_strictest_policy(app, ask, pages):
    """Nothing inline, nothing from elsewhere, no frames, no sniffing, nothing kept by the browser."""
    policy = ask(app, "/").headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert not re.search(r"(script|style)-src", policy)
    for path in pages:
        answer = ask(app, path)
        assert answer.headers["content-security-policy"] == policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers
        parser = _Inline()
        parser.feed(answer.text)
        assert parser.found == [], path
    scripts = [static(name) for name in ASSETS if name.endswith(".js")]
    assert not any(
        re.search(r"\beval\(|new Function|setAttribute\(\"style\"|https?://(?!www\.w3\.org)", each) for each in scripts
    )


def test_a_browser_keeps_scripts_by_their_version(app, ask, pages):
    """The address on a page has the version of the file; without it, and with another one, nothing is kept."""
    addresses = re.findall(r'(?:src|href)="(/assets/[^"]*\?v=[^"]*)"', ask(app, pages[0]).text)
    assert {address.split("?")[0] for address in addresses} >= {f"/assets/{name}" for name in (*SCRIPTS, "style.css")}
    for address in addresses:
        assert ask(app, address).headers["cache-control"] == "private, max-age=31536000, immutable"
        for other in (address.split("?")[0], f"{address}0"):
            assert ask(app, other).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("kind", ["websocket", "other"])
def test_no_socket_is_opened(app, kind):
    """There is nothing to talk to."""
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(app({"type": kind, "path": "/", "headers": [(b"host", b"127.0.0.1")]}, None, send))
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_a_server_refuses_what_is_no_plain_request(folder, serving):
    """Over the wire: an upgrade, a path that climbs, two hosts."""
    with serving(folder) as served:

        def status(path, *headers):
            connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
            connection.putrequest("GET", path, skip_host=True)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders()
            found = connection.getresponse().status
            connection.close()
            return found

        host = ("Host", "127.0.0.1")
        upgrade = (
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "eA=="),
        )
        assert status("/", host) == 200
        assert status("/", host, ("Host", "evil.example")) == 400
        assert status("/") == 400
        assert status("/nowhere", host, *upgrade) == 404
        for path in ("/assets/../../reading.py", "/assets/..%2freading.py", "/runs/..%2f..%2fetc", "/runs/../../etc/passwd"):
            assert status(path, host) == 404, path
