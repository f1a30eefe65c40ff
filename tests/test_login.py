"""Logging in as a person does: browser, headless, without authorization; logging out."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import webbrowser
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from attrs import evolve
from common import CLUSTERS, PROJECTS, free_urls
from test_callback import is_free
from test_secrets import shown
from wire import Wire, http
from yarl import URL

from neuro_config import (
    AuthError,
    CallbackPortError,
    CodeRefusedError,
    ConfigError,
    ConfigStore,
    ConnectionFailedError,
    InsecureURLError,
    InvalidCodeError,
    LoggedIn,
    LoggedOut,
    LoginDeniedError,
    LoginNotOfferedError,
    LoginTimeoutError,
    NetworkError,
    NotLoggedInError,
    StorageError,
    Token,
    _unsaved,
)
from neuro_config._callback import Listener
from neuro_config._login import page_of
from neuro_config._session import AuthConfig
from neuro_config._unsaved import Unsaved
from neuro_config.testing import ERAS, Platform


@pytest.fixture
def platform() -> Iterator[Platform]:
    """A platform whose callback ports are this test's own."""
    with Platform(
        clusters=CLUSTERS, projects=PROJECTS, users=["bob"], callback_urls=free_urls()
    ) as platform:
        yield platform


@pytest.fixture
def store(folder: Path) -> ConfigStore:
    return ConfigStore(folder)


class Person:
    """Goes where a URL leads, as a browser would, and keeps what it saw."""

    def __init__(self, **changes: str) -> None:
        self.changes = changes
        self.urls: List[URL] = []
        self._pages: List[requests.Response] = []
        self._came = threading.Event()

    def __call__(self, url: URL) -> str:
        self.urls.append(url)
        with requests.Session() as browser:
            browser.trust_env = False
            page = browser.get(str(url.update_query(self.changes)), timeout=30)
        self._pages.append(page)
        self._came.set()
        return page.url

    @property
    def pages(self) -> List[requests.Response]:
        """What came, once something has: a login that failed does not wait for it."""
        assert self._came.wait(30)
        return self._pages

    @property
    def text(self) -> str:
        (page,) = self.pages
        return page.text


# -------------------------------------------------------------------- browser


def test_login(platform: Platform, store: ConfigStore) -> None:
    """A login in a browser stores a session with a refresh token, and says so."""
    person = Person()
    store.login(person, url=platform.url)
    host = f"{platform.url.host}:{platform.url.port}"
    assert f"You are logged in to {host} as alice; you can close this tab." in (
        person.text
    )
    assert isinstance(store.state, LoggedIn)
    assert ("alice", "default") == (store.username, store.cluster_name)
    before = store.token()
    store.refresh_token()
    assert before != store.token()
    assert "alice" == ConfigStore(store.path).username


@pytest.mark.parametrize("era", ERAS)
def test_every_era(platform: Platform, store: ConfigStore, era: str) -> None:
    """Platforms of every era can be logged in to."""
    platform.era = era
    store.login(Person(), url=str(platform.url))
    assert "alice" == store.username


def test_what_is_asked(platform: Platform, store: ConfigStore) -> None:
    """The user is shown a URL with PKCE and state, of the first free callback."""
    person = Person()
    store.login(person, url=platform.url)
    (url,) = person.urls
    assert isinstance(url, URL)
    query = dict(parse_qsl(urlsplit(str(url)).query))
    assert "S256" == query["code_challenge_method"]
    assert len(query["state"]) >= 43
    assert person.pages[0].url.startswith(f"{query['redirect_uri']}/?code=")
    assert 1 == platform.count("token", grant_type="authorization_code", status=200)
    assert is_free(query["redirect_uri"])


def test_the_second_port(platform: Platform, store: ConfigStore) -> None:
    """When the first port is taken, the second of the platform's is used."""
    callbacks = platform._app.site.callback_urls
    with Listener(callbacks[:1]):
        person = Person()
        store.login(person, url=platform.url)
    assert person.pages[0].url.startswith(callbacks[1])


def test_all_ports_taken(platform: Platform, store: ConfigStore) -> None:
    """With all ports taken nobody is asked to log in, and the error names them."""
    callbacks = platform._app.site.callback_urls
    person = Person()
    with Listener(callbacks), Listener(callbacks), pytest.raises(
        CallbackPortError
    ) as caught:
        store.login(person, url=platform.url)
    assert callbacks == caught.value.urls
    assert [] == person.urls


def test_a_login_replaces_another(platform: Platform, store: ConfigStore) -> None:
    """A login as somebody else takes the place of the old one."""
    platform.log_in(store)
    store.login(Person(login_hint="bob"), url=platform.url)
    assert "bob" == store.username


def test_cancelled(platform: Platform, store: ConfigStore) -> None:
    """A user who cancels gets one clear error and a page that says it."""
    platform.log_in(store, "bob")
    person = Person(deny="1")
    with pytest.raises(LoginDeniedError, match="The login was cancelled") as caught:
        store.login(person, url=platform.url)
    assert ("access_denied", "login was denied") == caught.value.args
    assert 400 == person.pages[0].status_code
    assert "The login was cancelled" in person.text
    assert "bob" == store.username


def test_a_servers_error(platform: Platform, store: ConfigStore) -> None:
    """What the server says instead of a code is the error, escaped in the page."""
    person = Person(audience="<script>")
    with pytest.raises(AuthError, match="unknown audience"):
        store.login(person, url=platform.url)
    assert "unknown audience" in person.text
    assert isinstance(store.state, LoggedOut)


def test_a_wrong_verifier(platform: Platform, store: ConfigStore) -> None:
    """A code that was asked for with another verifier is refused by the server."""
    person = Person(code_challenge="E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
    with pytest.raises(CodeRefusedError, match="does not accept the code") as caught:
        store.login(person, url=platform.url)
    assert "invalid_grant" == caught.value.code
    assert "code_verifier does not match" in str(caught.value)
    assert "does not accept the code" in person.text
    assert isinstance(store.state, LoggedOut)


def test_foreign_requests_do_not_end_it(platform: Platform, store: ConfigStore) -> None:
    """A favicon, a wrong state and a missing one are passed over; the answer counts."""
    seen: List[int] = []

    def show(url: URL) -> None:
        redirect = str(url.query["redirect_uri"])
        state = url.query["state"]
        for target in (
            "/favicon.ico",
            "/?code=evil",
            "/?code=evil&state=wrong",
            f"/?code=evil&state={state[:-1]}",
            f"/other?code=evil&state={state}",
            f"/?state={state}",
        ):
            seen.append(requests.get(redirect + target, timeout=5).status_code)
        Person()(url)

    store.login(show, url=platform.url)
    assert [404, 400, 400, 400, 404, 400] == seen
    assert 1 == platform.count("token")


def test_success_page(folder: Path) -> None:
    """Where the platform names a page for the end of a login, the browser ends there."""
    with Platform(success_redirect=True, callback_urls=free_urls()) as platform:
        person = Person()
        ConfigStore(folder).login(person, url=platform.url)
        assert str(platform.url.with_path("/success")) == person.pages[0].url


@pytest.mark.parametrize(
    "location",
    ["javascript:alert(1)", "https://x/\r\nSet-Cookie: a=b", "ftp://x", None],
)
def test_an_unusable_success_page(location: Any) -> None:
    """What no header carries, or is no page, is not where the browser is sent."""
    auth = AuthConfig("a", "b", "c", success_redirect_url=location)
    page = page_of(auth, "https://me:secret@api.example/api/v1", "alice")
    assert (200, None) == (page.status, page.location)
    assert "api.example as alice" in page.text
    assert "secret" not in page.text


def test_nobody_answers(platform: Platform, folder: Path) -> None:
    """When nobody logs in in time there is an error, and the port is free."""
    shown_urls: List[URL] = []
    store = ConfigStore(folder, login_timeout=0.2)
    with pytest.raises(LoginTimeoutError, match=r"within 0\.2 s"):
        store.login(shown_urls.append, url=platform.url)
    assert is_free(str(shown_urls[0].query["redirect_uri"]))


def test_a_callback_that_fails(platform: Platform, store: ConfigStore) -> None:
    """What show_browser raises ends the login and is raised."""

    def show(url: URL) -> None:
        raise ZeroDivisionError(str(url.query["redirect_uri"]))

    with pytest.raises(ZeroDivisionError) as caught:
        store.login(show, url=platform.url)
    assert is_free(str(caught.value))


def test_a_callback_that_never_returns(platform: Platform, store: ConfigStore) -> None:
    """A browser that holds up show_browser does not hold up the login."""
    never = threading.Event()

    def show(url: URL) -> None:
        Person()(url)
        never.wait(60)

    started = time.monotonic()
    store.login(show, url=platform.url)
    assert time.monotonic() - started < 30
    never.set()


def in_a_process(
    platform: Platform, folder: Path, browser: str, seconds: float = 30
) -> str:
    """Log in with the system's browser and tell what is printed."""
    code = (
        "import sys; from neuro_config import ConfigStore as Store, LoginTimeoutError\n"
        "store = Store(sys.argv[1], login_timeout=float(sys.argv[3]))\n"
        "try: store.login(url=sys.argv[2]); print(store.username)\n"
        "except LoginTimeoutError as error: print(error)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(platform.url), str(seconds)],
        env={**os.environ, "BROWSER": browser},
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return process.stdout


def test_the_systems_browser(platform: Platform, folder: Path, tmp_path: Path) -> None:
    """Without show_browser the system's browser opens, and the URL is told as well."""
    script = tmp_path / "browser.py"
    script.write_text(
        "import sys, urllib.request as r\n"
        "r.build_opener(r.ProxyHandler({})).open(sys.argv[1]).read()\n"
    )
    printed = in_a_process(platform, folder, f"{sys.executable} {script} %s")
    assert f"If none opens, go to {platform.url.origin()}/auth?" in printed
    assert printed.endswith("\nalice\n")


def test_a_browser_that_cannot_be_opened(platform: Platform, folder: Path) -> None:
    """A $BROWSER that is no command is a warning: the URL is there to be copied."""
    printed = in_a_process(platform, folder, 'x "%s', 0.5)
    assert "go to http" in printed
    assert "No browser could be opened: No closing quotation" in printed
    assert "No browser has brought an answer within 0.5 s" in printed


def test_a_browser_that_fails(
    platform: Platform,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever the system's way to a browser raises does not end the login."""

    def fail(url: str) -> bool:
        raise ValueError("no way")

    monkeypatch.setattr(webbrowser, "open", fail)
    with pytest.raises(LoginTimeoutError):
        ConfigStore(folder, login_timeout=0.5).login(url=platform.url)
    assert "No browser could be opened: no way" in caplog.text


def test_the_platform_fails_at_the_end(platform: Platform, store: ConfigStore) -> None:
    """A platform that does not answer after the code leaves nobody logged in."""
    platform.faults.token.answer(500, "boom")
    person = Person()
    with pytest.raises(NetworkError, match="answered 500"):
        store.login(person, url=platform.url)
    assert "The login failed" in person.text
    assert isinstance(store.state, LoggedOut)


def test_the_disk_fails_at_the_end(platform: Platform, tmp_path: Path) -> None:
    """A login that cannot be stored is an error in the page, too."""
    (tmp_path / "file").write_text("")
    person = Person()
    with pytest.raises(StorageError):
        ConfigStore(tmp_path / "file").login(person, url=platform.url)
    assert "The login failed" in person.text


def test_not_offered(folder: Path) -> None:
    """A platform that does not tell how to log in is named, and what else there is."""
    with Platform(oauth=False) as platform:
        store = ConfigStore(folder)
        logins: List[Callable[[], None]] = [
            lambda: store.login(Person(), url=platform.url),
            lambda: store.login_headless(Person(), url=platform.url),
        ]
        for login in logins:
            with pytest.raises(LoginNotOfferedError, match="login_with_token") as it:
                login()
            assert str(platform.url) in str(it.value)


def answer_of(auth: Mapping[str, object]) -> bytes:
    whole = {
        "authorized": False,
        "auth_url": "https://auth.example/authorize",
        "token_url": "https://auth.example/token",
        "client_id": "client",
        "callback_urls": [],
        **auth,
    }
    return http(whole)


@pytest.mark.parametrize(
    ("auth", "error"),
    [
        ({}, LoginNotOfferedError),
        ({"callback_urls": ["http://example.org:54540"]}, LoginNotOfferedError),
        ({"token_url": "http://auth.example/token"}, InsecureURLError),
    ],
)
def test_nobody_is_asked_in_vain(
    store: ConfigStore, auth: Dict[str, object], error: type
) -> None:
    """What cannot end well is refused before anybody logs in."""
    person = Person()
    with Wire(answer_of(auth)) as wire, pytest.raises(error):
        store.login(person, url=wire.url)
    assert [] == person.urls


def test_plain_http_to_log_in_at(store: ConfigStore) -> None:
    """Nobody is sent to a login page over plain http on another machine."""
    auth = {
        "auth_url": "http://auth.example/authorize",
        "callback_urls": list(free_urls()),
        "headless_callback_url": "https://auth.example/code",
    }
    person = Person()
    with Wire(answer_of(auth)) as wire:
        with pytest.raises(InsecureURLError, match=r"http://auth\.example/authorize"):
            store.login(person, url=wire.url)
        with pytest.raises(InsecureURLError, match=r"http://auth\.example/authorize"):
            store.login_headless(person, url=wire.url)
    assert [] == person.urls


def test_a_url_with_a_password(store: ConfigStore) -> None:
    """A user name in the platform's URL is refused, not stored and not shown."""
    url = "https://me:canary@platform.example/api/v1"
    logins: List[Callable[[], None]] = [
        lambda: store.login(Person(), url=url),
        lambda: store.login_headless(Person(), url=url),
        lambda: store.login_with_token("token", url=url),
    ]
    for login in logins:
        with pytest.raises(InsecureURLError, match="user name or a password") as it:
            login()
        assert "canary" not in f"{it.value} {it.value!r}"


def test_no_thread_for_the_browser(
    platform: Platform, store: ConfigStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system starts no thread there is one typed error."""
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        if thread.name == "neuro_config-show-browser":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(CallbackPortError, match="starts no thread"):
        store.login(Person(), url=platform.url)


def test_all_requests_share_the_timeout(platform: Platform, folder: Path) -> None:
    """What the person takes is not counted; all the rest together is."""
    platform.faults.config.delay(0.7)
    platform.faults.token.delay(0.7)
    person = Person()
    with pytest.raises(NetworkError):
        ConfigStore(folder, timeout=1.2).login(person, url=platform.url)
    assert 1 == platform.count("config")


def test_no_platform(store: ConfigStore) -> None:
    """Without the platform there is nobody to ask how to log in."""
    with pytest.raises(ConnectionFailedError):
        store.login(Person(), url=free_urls()[0])


SCRIPT = """
import sys
import neuro_config
store = neuro_config.ConfigStore(sys.argv[1])
try:
    store.login(lambda url: print(url.query["redirect_uri"], flush=True), url=sys.argv[2])
except KeyboardInterrupt:
    print("interrupted", type(store.state).__name__, flush=True)
"""


def test_ctrl_c(platform: Platform, folder: Path) -> None:
    """Ctrl-C ends the waiting at once and frees the port."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(platform.url)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        redirect = process.stdout.readline().strip()
        assert not is_free(redirect)
        process.send_signal(signal.SIGINT)
        assert "interrupted LoggedOut\n" == process.stdout.readline()
    assert 0 == process.returncode
    assert is_free(redirect)


BROWSING_SCRIPT = """
import sys
import urllib.error
import urllib.request
import neuro_config

def show(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(str(url))
    except urllib.error.HTTPError as error:
        print("page", "has ended it" in error.read().decode(), flush=True)

store = neuro_config.ConfigStore(sys.argv[1])
try:
    store.login(show, url=sys.argv[2])
except KeyboardInterrupt:
    print("interrupted", type(store.state).__name__, flush=True)
    sys.stdin.read()
"""


def test_ctrl_c_while_the_code_is_redeemed(platform: Platform, folder: Path) -> None:
    """Ctrl-C between the answer and its end: no login, and the page says so."""
    platform.faults.token.delay(answer=3.0)
    with subprocess.Popen(
        [sys.executable, "-c", BROWSING_SCRIPT, str(folder), str(platform.url)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        while not platform.count("token"):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        lines = {process.stdout.readline(), process.stdout.readline()}
        process.communicate()
    assert {"interrupted LoggedOut\n", "page True\n"} == lines
    assert isinstance(ConfigStore(folder).state, LoggedOut)


# ------------------------------------------------------------------- headless


def test_headless_with_a_url(platform: Platform, store: ConfigStore) -> None:
    """The URL of the page that shows the code logs in, with a refresh token."""
    person = Person()
    store.login_headless(person, url=platform.url)
    assert "alice" == store.username
    assert "oauth/show-code" in str(person.urls[0].query["redirect_uri"])
    store.refresh_token()


def test_headless_with_a_code(platform: Platform, store: ConfigStore) -> None:
    """The bare code logs in."""

    def get_auth_code(url: URL) -> str:
        return f"  {URL(Person()(url)).query['code']}\n"

    store.login_headless(get_auth_code, url=str(platform.url))
    assert "alice" == store.username


def test_headless_in_vain(platform: Platform, store: ConfigStore) -> None:
    """No code, a wrong one, one of another login, a refusal: one clear error each."""
    old = Person()
    store.login_headless(old, url=platform.url)
    store.logout()
    attempts: Dict[type, Callable[[URL], str]] = {
        InvalidCodeError: lambda url: "",
        CodeRefusedError: lambda url: "canary",
        LoginDeniedError: Person(deny="1"),
        ZeroDivisionError: lambda url: str(1 / 0),
    }
    for error, get_auth_code in attempts.items():
        with pytest.raises(error) as caught:
            store.login_headless(get_auth_code, url=platform.url)
        assert "canary" not in str(caught.value)
    with pytest.raises(InvalidCodeError, match="does not belong to this login"):
        store.login_headless(lambda url: old.pages[0].url, url=platform.url)
    assert isinstance(store.state, LoggedOut)


def test_headless_not_offered(store: ConfigStore) -> None:
    """A platform without a page that shows codes says so before anybody is asked."""
    person = Person()
    with Wire(answer_of({})) as wire, pytest.raises(
        LoginNotOfferedError, match="no page that shows a code"
    ):
        store.login_headless(person, url=wire.url)
    insecure = {"headless_callback_url": "http://auth.example/code"}
    with Wire(answer_of(insecure)) as wire, pytest.raises(InsecureURLError):
        store.login_headless(person, url=wire.url)
    assert [] == person.urls


# -------------------------------------------------------------------- secrets


def test_no_secret_is_shown(
    platform: Platform,
    store: ConfigStore,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Neither code nor verifier is in an error, a traceback with locals, a log."""
    caplog.set_level(logging.DEBUG)
    wrong = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    person = Person(code_challenge=wrong)
    headless = Person(code_challenge=wrong)
    issuer = Person()

    def other_issuer(url: URL) -> str:
        answer = URL(issuer(url)).update_query(iss="https://evil.example")
        return str(answer)

    attempts: List[Callable[[], None]] = [
        lambda: store.login(person, url=platform.url),
        lambda: store.login_headless(headless, url=platform.url),
        lambda: store.login_headless(other_issuer, url=platform.url),
    ]
    texts = []
    for attempt in attempts:
        with pytest.raises(ConfigError) as caught:
            attempt()
        texts.append(shown(caught.value))
    codes = [
        str(URL(page.url).query["code"])
        for one in (person, headless, issuer)
        for page in one.pages
    ]
    assert 3 == len(codes)
    logged = [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("neuro_config")
    ]
    out, err = capfd.readouterr()
    for code in codes:
        assert code not in "".join([*texts, *logged, out, err])


# ------------------------------------------------------ without authorization


@pytest.mark.parametrize("era", ERAS)
def test_without_authorization(store: ConfigStore, era: str) -> None:
    """A platform that lists its clusters to anybody needs neither browser nor code."""
    with Platform(authorization=False, era=era) as platform:
        person = Person()
        store.login(person, url=platform.url)
        assert ("user", "default") == (store.username, store.cluster_name)
        store.logout(person)
        store.login_headless(person, url=platform.url)
        assert [] == person.urls
        store.fetch()
        assert 2 == store.token().count(".")
        with pytest.raises(ConfigError):
            store.refresh_token()


# --------------------------------------------------------------------- logout


def test_logout(platform: Platform, store: ConfigStore) -> None:
    """Logout removes the login, revokes the refresh token and ends the browser's."""
    store.login(Person(), url=platform.url)
    state = store.state
    assert isinstance(state, LoggedIn)
    refresh_token = state.session.token.refresh_token
    urls: List[URL] = []
    store.logout(urls.append)
    assert isinstance(store.state, LoggedOut)
    assert [platform.url.with_path("/session/end") % {"client_id": "neuro-cli"}] == urls
    assert 1 == platform.count("revoke", status=200)
    answer = requests.post(
        str(platform.url.with_path("/token")),
        data={
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": "neuro-cli",
        },
        timeout=5,
    )
    assert "invalid_grant" == answer.json()["error"]


def test_logout_without_a_browser(platform: Platform, store: ConfigStore) -> None:
    """Without a callback no URL is asked for; logged out, nothing is."""
    store.login(Person(), url=platform.url)
    store.logout()
    assert 0 == platform.count("logout")
    before = len(platform.requests)
    store.logout(Person())
    assert before == len(platform.requests)


def test_logout_without_a_refresh_token(platform: Platform, store: ConfigStore) -> None:
    """A login with a token has nothing to revoke."""
    store.login_with_token(platform.issue_access_token(), url=platform.url)
    store.logout()
    assert 0 == platform.count("revoke")


def test_the_logout_urls_query_is_kept(platform: Platform, folder: Path) -> None:
    """The logout URL's own query stays beside the client's id."""
    store = ConfigStore(folder)
    store.login(Person(), url=platform.url)
    state = store.state
    assert isinstance(state, LoggedIn)
    assert state.session.auth is not None
    logout_url = "https://auth.example/v2/logout?returnTo=https%3A%2F%2Fa%2Fb&x=%20y"
    auth = evolve(state.session.auth, logout_url=logout_url)
    store._storage.update(lambda session: session and evolve(session, auth=auth), 5)
    urls: List[URL] = []
    store.logout(urls.append)
    expected = {"returnTo": "https://a/b", "x": " y", "client_id": "neuro-cli"}
    assert expected == dict(urls[0].query)
    assert "https://auth.example/v2/logout" == str(urls[0].with_query(None))


FAULTS: Dict[str, Callable[[Platform], object]] = {
    "refused": lambda p: p.faults.revoke.answer(400, {"error": "no"}),
    "broken": lambda p: p.faults.revoke.answer(503, "<html>"),
    "dropped": lambda p: p.faults.revoke.drop(None),
    "down": lambda p: p.stop(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_revocation_that_fails(
    platform: Platform,
    store: ConfigStore,
    caplog: pytest.LogCaptureFixture,
    fault: str,
) -> None:
    """A revocation that fails is a warning without the token; the logout stands."""
    store.login(Person(), url=platform.url)
    caplog.clear()
    state = store.state
    assert isinstance(state, LoggedIn)
    FAULTS[fault](platform)
    store.logout()
    assert isinstance(ConfigStore(store.path).state, LoggedOut)
    (message,) = [
        record.getMessage()
        for record in caplog.records
        if record.name == "neuro_config"
    ]
    assert message.startswith("The refresh token could not be revoked: ")
    assert str(state.session.token.refresh_token) not in message


def test_a_revocation_that_hangs(platform: Platform, store: ConfigStore) -> None:
    """A server that does not answer holds a logout up for 5 seconds at most."""
    store.login(Person(), url=platform.url)
    platform.faults.revoke.delay(60)
    started = time.monotonic()
    store.logout()
    assert 4 < time.monotonic() - started < 15


def metadata(token_url: str, revocation_endpoint: object) -> bytes:
    return http(
        {"token_endpoint": token_url, "revocation_endpoint": revocation_endpoint}
    )


NOT_FOUND = http(b"", 404)


@pytest.mark.parametrize("name", ["nowhere", "elsewhere", "no text", "foreign", "list"])
def test_no_revocation_endpoint(
    store: ConfigStore, platform: Platform, name: str
) -> None:
    """Without a revocation endpoint of the token's own server nothing is sent."""
    store.login(Person(), url=platform.url)
    state = store.state
    assert isinstance(state, LoggedIn)
    assert state.session.auth is not None
    with Wire(NOT_FOUND) as other, Wire(is_late=True) as wire:
        token_url = f"{wire.url}/realms/one/token"
        answers = {
            "nowhere": NOT_FOUND,
            "elsewhere": metadata(token_url, f"{other.url}/revoke"),
            "no text": metadata(token_url, ["x"]),
            "foreign": metadata("https://auth.example/token", f"{wire.url}/revoke"),
            "list": http([]),
        }
        wire._answers[:] = [answers[name]]
        auth = evolve(state.session.auth, token_url=token_url)
        store._storage.update(lambda session: session and evolve(session, auth=auth), 5)
        store.logout()
        assert {b"GET"} == {request[:3] for request in wire.requests}
        assert [] == other.requests
        asked = [request.split()[1].decode() for request in wire.requests]
    well_known = "/.well-known/openid-configuration"
    if name in ("elsewhere", "no text"):
        assert [well_known] == asked
    else:
        assert [
            well_known,
            f"/realms{well_known}",
            f"/realms/one{well_known}",
        ] == asked


def with_urls(store: ConfigStore, platform: Platform, **urls: Any) -> None:
    """Log in, and put other URLs into the stored session, as a person with an editor."""
    store.login(Person(), url=platform.url)
    state = store.state
    assert isinstance(state, LoggedIn)
    assert state.session.auth is not None
    auth = evolve(state.session.auth, **urls)
    store._storage.update(lambda session: session and evolve(session, auth=auth), 5)


def test_two_hosts_in_one_url(store: ConfigStore, platform: Platform) -> None:
    """A revocation endpoint that parsers read differently gets no token."""
    with Wire(http(b"")) as other, Wire(is_late=True) as wire:
        token_url = f"{wire.url}/token"
        evil = f"{other.url}\\@{wire.url.partition('//')[2]}/revoke"
        wire._answers[:] = [metadata(token_url, evil)]
        with_urls(store, platform, token_url=token_url)
        store.logout()
        assert 1 == len(wire.requests)
        assert [] == other.requests


def test_metadata_that_is_too_long(store: ConfigStore, platform: Platform) -> None:
    """A page of any size where metadata might be is not the end of the search."""
    with Wire(is_late=True) as wire:
        token_url = f"{wire.url}/one/token"
        wire._answers[:] = [
            http(b"x" * 300_000),
            metadata(token_url, f"{wire.url}/revoke"),
            http(b""),
        ]
        with_urls(store, platform, token_url=token_url)
        store.logout()
        assert wire.requests[-1].startswith(b"POST /revoke ")


def test_an_answer_that_is_not_saved_yet(
    store: ConfigStore, platform: Platform
) -> None:
    """What a logout revokes is the newest refresh token, saved or not."""
    with Wire(is_late=True) as wire:
        token_url = f"{wire.url}/token"
        wire._answers[:] = [metadata(token_url, f"{wire.url}/revoke"), http(b"")]
        with_urls(store, platform, token_url=token_url)
        storage = store._storage
        token = Token("new", 1.0, None, "newest")
        unsaved = Unsaved(
            storage.sole_refresher(5), lambda old: old and evolve(old, token=token)
        )
        _unsaved.keep(storage.location, unsaved)
        store.logout()
        assert (
            "newest" == dict(parse_qsl(wire.requests[-1].decode().split()[-1]))["token"]
        )
    assert _unsaved.find(storage.location) is None
    assert not unsaved.refresher.held


ODD_URLS = [
    "http://[",
    "https://[::1/oauth/token",
    "https://ex\u2100mple.com/token",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "not a url",
    "http://evil.example/logout",
    "",
]


@pytest.mark.parametrize("url", ODD_URLS)
def test_logout_with_odd_urls(
    store: ConfigStore, platform: Platform, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    """Whatever a session says about its server, it is removed, and nothing odd shown."""
    with_urls(store, platform, token_url=url, logout_url=url)
    caplog.clear()
    urls: List[URL] = []
    store.logout(urls.append)
    assert [] == urls
    assert isinstance(ConfigStore(store.path).state, LoggedOut)
    messages = [one.getMessage() for one in caplog.records]
    assert "The platform names no usable URL to log out at." in messages


def test_the_issuer_has_a_path(store: ConfigStore, platform: Platform) -> None:
    """A server whose issuer has a path is found, and gets the token once."""
    store.login(Person(), url=platform.url)
    state = store.state
    assert isinstance(state, LoggedIn)
    assert state.session.auth is not None
    with Wire(is_late=True) as wire:
        token_url = f"{wire.url}/realms/one/token"
        wire._answers[:] = [
            NOT_FOUND,
            metadata(token_url, f"{wire.url}/realms/one/revoke"),
            http(b""),
        ]
        auth = evolve(state.session.auth, token_url=token_url)
        store._storage.update(lambda session: session and evolve(session, auth=auth), 5)
        store.logout()
        last = wire.requests[-1].decode()
    expected = {
        "token": state.session.token.refresh_token,
        "token_type_hint": "refresh_token",
        "client_id": "neuro-cli",
    }
    assert last.startswith("POST /realms/one/revoke ")
    assert expected == dict(parse_qsl(last.partition("\r\n\r\n")[2]))


def test_logout_of_a_damaged_login(platform: Platform, store: ConfigStore) -> None:
    """A damaged login is removed all the same; there is nothing to revoke."""
    store.login(Person(), url=platform.url)
    (store.path / "session.toml").write_text("damaged")
    urls: List[URL] = []
    ConfigStore(store.path).logout(urls.append)
    assert [] == urls
    assert isinstance(ConfigStore(store.path).state, LoggedOut)
    with pytest.raises(NotLoggedInError):
        ConfigStore(store.path).token()
