"""The loopback server that takes one answer, over real sockets."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from typing import Iterator, List
from urllib.parse import urlsplit

import pytest
import requests
from common import free_urls
from samples import in_child

from neuro_config import CallbackPortError, LoginNotOfferedError, LoginTimeoutError
from neuro_config._callback import Answer, Listener
from neuro_config._pages import Page, failure, welcome


@pytest.fixture
def listener() -> Iterator[Listener]:
    """One that takes any query which says ``yes``."""
    with Listener(free_urls()) as listener:
        listener.listen_for(lambda query: "yes" in query)
        yield listener


class Browser:
    """Opens a URL in a thread of its own."""

    def __init__(self, url: str) -> None:
        self.answers: List[requests.Response] = []
        self._thread = threading.Thread(target=self._open, args=(url,))
        self._thread.start()

    def _open(self, url: str) -> None:
        with requests.Session() as session, contextlib.suppress(
            requests.ConnectionError
        ):
            session.trust_env = False
            self.answers.append(session.get(url, allow_redirects=False, timeout=30))

    def page(self) -> requests.Response:
        self._thread.join()
        return self.answers[0]


def opened(url: str) -> requests.Response:
    return Browser(url).page()


def is_free(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((parts.hostname, parts.port))
        except OSError:
            return False
        return True


def test_one_answer(listener: Listener) -> None:
    """The first answer is taken, and its browser gets the page that it waits for."""
    browser = Browser(f"{listener.url}/?yes=1")
    answer = listener.wait(30)
    assert "yes=1" == answer.query
    answer.show(welcome("api.example", "alice"))
    page = browser.page()
    assert 200 == page.status_code
    assert "logged in to api.example as alice; you can close this tab" in page.text


def test_foreign_requests(listener: Listener) -> None:
    """Other paths, other queries and other methods get a page and change nothing."""
    assert 404 == opened(f"{listener.url}/favicon.ico").status_code
    assert 404 == opened(f"{listener.url}/other?yes").status_code
    assert 400 == opened(f"{listener.url}/?no").status_code
    assert 400 == opened(listener.url).status_code
    assert 501 == requests.post(f"{listener.url}/?yes", timeout=5).status_code
    browser = Browser(f"{listener.url}/?yes")
    answer = listener.wait(30)
    answer.show(failure("told"))
    assert "told" in browser.page().text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1@evil.example", "", "["])
def test_a_name_of_somebody_else(listener: Listener, host: str) -> None:
    """What a browser believes to be another host's is foreign, whatever it says."""
    headers = {"Host": host}
    answer = requests.get(f"{listener.url}/?yes", headers=headers, timeout=30)
    assert 404 == answer.status_code
    with pytest.raises(LoginTimeoutError):
        listener.wait(0.1)


def test_a_second_answer(listener: Listener) -> None:
    """A second answer gets a page and is not taken, before and after the first ended."""
    browser = Browser(f"{listener.url}/?yes=1")
    answer = listener.wait(30)
    assert 409 == opened(f"{listener.url}/?yes=2").status_code
    answer.show(welcome("x", "y"))
    assert 200 == browser.page().status_code
    assert 409 == opened(f"{listener.url}/?yes=3").status_code
    with pytest.raises(LoginTimeoutError):
        listener.wait(0.1)


def test_everything_is_foreign_at_first() -> None:
    """Until the answer is known nothing is taken for it."""
    with Listener(free_urls()) as listener:
        assert 400 == opened(f"{listener.url}/?yes").status_code


def test_headers(listener: Listener) -> None:
    """The page runs no script, leaks no URL, is kept nowhere and names no Python."""
    page = opened(f"{listener.url}/?no")
    headers = page.headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "no-referrer" == headers["Referrer-Policy"]
    assert "no-store" == headers["Cache-Control"]
    assert "nosniff" == headers["X-Content-Type-Options"]
    assert "text/html; charset=utf-8" == headers["Content-Type"]
    assert "neuro_config" == headers["Server"].strip()


def test_the_page_is_escaped() -> None:
    """What others said is shown as text, whatever it is."""
    said = "<script>alert(1)</script> & \"x\" 'y' \udcff"
    html = failure(said).render().decode()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;x&quot;" in html
    html = welcome("<h1>", "<b>").render().decode()
    assert "logged in to &lt;h1&gt; as &lt;b&gt;" in html


def test_a_phone_in_the_dark() -> None:
    """The page fits a phone and follows the user's choice of colours."""
    html = welcome("x", "y").render().decode()
    assert (
        '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    )
    assert "prefers-color-scheme: dark" in html
    assert '<meta name="color-scheme" content="light dark">' in html


def test_a_redirect(listener: Listener) -> None:
    """A page that names a location sends the browser there."""
    browser = Browser(f"{listener.url}/?yes")
    listener.wait(30).show(welcome("x", "y", "https://platform.example/done"))
    page = browser.page()
    assert 302 == page.status_code
    assert "https://platform.example/done" == page.headers["Location"]


def test_timeout(listener: Listener) -> None:
    """Who waits in vain learns after how long, and what to do."""
    started = time.monotonic()
    with pytest.raises(LoginTimeoutError) as caught:
        listener.wait(0.3)
    assert 0.3 <= time.monotonic() - started < 5
    assert str(caught.value).startswith(
        "No browser has brought an answer within 0.3 s."
    )


def test_a_signal_that_wakes_nobody(listener: Listener) -> None:
    """Ctrl-C ends the waiting soon where its signal does not reach who waits."""
    started = time.monotonic()

    def interrupt() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    timer = threading.Timer(0.2, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        listener.wait(30)
    assert time.monotonic() - started < 10
    timer.join()


def test_an_error_from_elsewhere(listener: Listener) -> None:
    """Whoever shows the URL can end the waiting with an error."""
    listener.fail(KeyError("x"))
    with pytest.raises(KeyError):
        listener.wait(30)


def test_the_port_is_free_again() -> None:
    """Whatever happens inside, the port is free afterwards."""
    urls = free_urls(1)
    with contextlib.suppress(ZeroDivisionError), Listener(urls) as listener:
        assert urls[0] == listener.url
        assert not is_free(urls[0])
        raise ZeroDivisionError
    assert is_free(urls[0])
    with Listener(urls) as listener:
        assert urls[0] == listener.url


def test_the_port_is_free_although_somebody_is_connected() -> None:
    """A browser that keeps a silent connection open does not keep the port."""
    urls = free_urls(1)
    parts = urlsplit(urls[0])
    with Listener(urls) as listener:
        silent = socket.create_connection((str(parts.hostname), int(parts.port or 0)))
        opened(listener.url)  # so the silent one has been accepted
        started = time.monotonic()
    assert time.monotonic() - started < 2
    with silent, Listener(urls) as listener:
        assert urls[0] == listener.url


def test_a_silent_connection() -> None:
    """A connection that says nothing is closed after a while."""
    with Listener(free_urls(1), silence=0.1) as listener:
        parts = urlsplit(listener.url)
        address = (str(parts.hostname), int(parts.port or 0))
        with socket.create_connection(address, timeout=10) as silent:
            assert b"" == silent.recv(1)


def test_an_answer_after_the_end(listener: Listener) -> None:
    """What is said over a connection from before the end is no answer any more."""
    parts = urlsplit(listener.url)
    address = (str(parts.hostname), int(parts.port or 0))
    with socket.create_connection(address, timeout=10) as late:
        opened(listener.url)
        listener.close()
        late.sendall(b"GET /?yes HTTP/1.0\r\n\r\n")
        assert b"HTTP/1.0 400 " == late.recv(13)


def test_no_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listening asks no name server, which might take long to answer."""

    def fail(name: str = "") -> str:
        raise AssertionError(name)

    monkeypatch.setattr(socket, "getfqdn", fail)
    with Listener(free_urls(1)) as listener:
        assert 400 == opened(listener.url).status_code


def test_an_interrupt_of_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a listener closes does not keep its port."""
    urls = free_urls(1)
    listener = Listener(urls)
    shut_down = listener._server.shutdown

    def interrupted() -> None:
        shut_down()
        raise KeyboardInterrupt

    monkeypatch.setattr(listener._server, "shutdown", interrupted)
    with pytest.raises(KeyboardInterrupt):
        listener.close()
    assert is_free(urls[0])


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
def test_no_thread(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Where the system starts no thread the port is free again."""

    def fail(thread: threading.Thread) -> None:
        raise error

    urls = free_urls(1)
    monkeypatch.setattr(threading.Thread, "start", fail)
    expected = KeyboardInterrupt if error.args == () else CallbackPortError
    with pytest.raises(expected):
        Listener(urls)
    assert is_free(urls[0])


def test_no_time_at_all(listener: Listener) -> None:
    """A wait of no seconds ends, however often it is tried."""
    # The SimpleQueue of Python 3.8 to 3.10 waits for ever once in ten thousand times.
    for _ in range(30_000):
        listener._events = type(listener._events)()
        with pytest.raises(LoginTimeoutError):
            listener.wait(0.0)


def test_a_browser_that_waits_when_it_ends() -> None:
    """Whoever still waits for a page learns that the program has ended the login."""
    with Listener(free_urls()) as listener:
        listener.listen_for(lambda query: True)
        browser = Browser(f"{listener.url}/?x")
        listener.wait(30)
    assert "has ended it" in browser.page().text


def test_a_browser_that_went_away(
    listener: Listener, capfd: pytest.CaptureFixture[str]
) -> None:
    """A browser that does not wait for its page disturbs nobody."""
    parts = urlsplit(listener.url)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0))) as one:
        one.sendall(b"GET /?yes=the-code HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answer = listener.wait(30)
    started = time.monotonic()
    answer.show(Page(200, "big", "x" * 10_000_000))
    assert time.monotonic() - started < 5
    assert ("", "") == capfd.readouterr()


def test_the_first_free_port() -> None:
    """The next port is taken when one is not free, and all taken is an error."""
    urls = free_urls(2)
    with Listener(urls) as first, Listener(urls) as second:
        assert urls == (first.url, second.url)
        with pytest.raises(CallbackPortError) as caught:
            Listener(urls)
    assert urls == caught.value.urls
    assert (
        "The browser has no way to answer: none of the ports can be had at which the "
        f"platform expects it ({urls[0]}, {urls[1]}: Address already in use). End "
        "another login that is under way, or log in with login_headless."
    ) == str(caught.value)


def test_a_port_out_of_range() -> None:
    """A port that no system has is passed over."""
    (url,) = free_urls(1)
    with Listener(["http://127.0.0.1:99999", url]) as listener:
        assert url == listener.url


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org:54540",
        "http://0.0.0.0:54540",
        "https://127.0.0.1:54540",
        "http://192.168.0.1",
        "http://[",
        "nothing",
        "http://127.0.0.1:port",
        "http://127.0.0.1:0",
        "http://127.0.0.1:54540/#x",
        "http://127.0.0.1:54540/?code=x",
        "http://127.0.0.1:54540/?state=x",
    ],
)
def test_loopback_only(url: str) -> None:
    """Nobody listens where other machines could answer."""
    with pytest.raises(LoginNotOfferedError, match="no callback URL on this machine"):
        Listener([url])
    with pytest.raises(LoginNotOfferedError):
        Listener([])


def test_only_loopback_is_bound(listener: Listener) -> None:
    """The socket is bound to the loopback address alone."""
    assert "127.0.0.1" == listener._server.server_address[0]


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as one, contextlib.suppress(OSError):
        one.bind(("::1", 0))
        return True
    return False


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.2", *(["[::1]"] if has_ipv6() else [])]
)
def test_other_names_of_this_machine(host: str) -> None:
    """Every name of loopback is listened at, with the path that the platform names."""
    (free,) = free_urls(1)
    url = f"http://{host}:{urlsplit(free).port}/callback"
    with Listener([url]) as listener:
        listener.listen_for(lambda query: True)
        assert url == listener.url
        assert 404 == opened(url.replace("callback", "")).status_code
        browser = Browser(f"{url}?x")
        listener.wait(30).show(welcome("x", "y"))
        assert 200 == browser.page().status_code


@pytest.mark.parametrize("path", ["/a b", "/é", "/a/../b", "/a%20b"])
def test_a_path_as_a_browser_writes_it(path: str) -> None:
    """The path is that which a browser makes of the platform's URL."""
    (url,) = free_urls(1)
    with Listener([url + path]) as listener:
        listener.listen_for(lambda query: True)
        browser = Browser(f"{url}{path}?x")
        listener.wait(30).show(welcome("x", "y"))
        assert 200 == browser.page().status_code


def test_a_forked_child(listener: Listener) -> None:
    """A child that is forked meanwhile does not keep the port."""
    assert in_child(lambda: listener._server.socket.fileno() == -1)
    assert 400 == opened(f"{listener.url}/?no").status_code


def test_no_secret_is_shown() -> None:
    """The repr of an answer's query shows no code."""
    assert "'***'" == repr(Answer("code=x").query)
