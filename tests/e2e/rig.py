"""The platform, its authorization server and a person at a browser, as processes."""

from __future__ import annotations

import json
import shutil
import time
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import attrs
import pytest
import requests
from common import needs, needs_tool, tools
from talk import Talk
from yarl import URL

HERE = Path(__file__).parent
PAYLOAD = HERE.parent / "payloads" / "2026-08.json"
MODULES = "e2e/node_modules"
CLIENT = "neuro-cli"
SECONDS = 60.0  # for whatever a person does at the browser

needs_all = [needs("node"), needs("chromium"), needs_tool(MODULES)]


@contextmanager
def node(script: str, *arguments: str, folder: Path) -> Iterator[Talk]:
    """Run one of the scripts beside this file, until the block ends."""
    folder.mkdir()
    # Node looks for modules beside the script.
    (folder / "node_modules").symlink_to((tools() / MODULES).resolve())
    shutil.copy(HERE / script, folder)
    talk = Talk(str(folder / script), *arguments, program="node")
    try:
        yield talk
    finally:
        talk.end()


class Server:
    """The platform and its authorization server, running.

    Attributes:
        api_url: What a login is given.
    """

    def __init__(self, talk: Talk) -> None:
        self._root = json.loads(talk.read())["url"]
        self._http = requests.Session()
        self._http.trust_env = False
        self.api_url = f"{self._root}/api/v1"

    def url(self, path: str) -> str:
        return f"{self._root}{path}"

    def set(self, **settings: int) -> None:
        """Set ``life`` (seconds of a token) or ``lose`` (answers to lose)."""
        answer = self._http.post(self.url("/test/settings"), json=settings, timeout=10)
        answer.raise_for_status()

    def log(self) -> List[Dict[str, Any]]:
        """Tell what has happened since this was asked last."""
        answer = self._http.get(self.url("/test/log"), timeout=10)
        found: List[Dict[str, Any]] = answer.json()
        return found

    def grants(self) -> List[Any]:
        """Tell the grants asked for since ``log`` or this was asked last."""
        return [
            (entry["grant_type"], entry["status"])
            if "path" in entry
            else entry["event"]
            for entry in self.log()
            if entry.get("path", "/oauth/token") == "/oauth/token"
        ]

    def is_active(self, refresh_token: str) -> bool:
        """Ask, as any client may (RFC 7662), whether a refresh token is worth anything."""
        form = {"token": refresh_token, "client_id": CLIENT}
        answer = self._http.post(self.url("/oauth/introspect"), form, timeout=10)
        return bool(answer.json()["active"])

    def accepts(self, access_token: str) -> bool:
        """Ask whether the platform takes an access token."""
        headers = {"Authorization": f"Bearer {access_token}"}
        answer = self._http.get(f"{self.api_url}/config", headers=headers, timeout=10)
        return bool(answer.json()["authorized"])

    def close(self) -> None:
        self._http.close()


@attrs.frozen
class Seen:
    """What a person has seen.

    Args:
        url: The last page.
        titles: Of all pages.
        text: Of the last page.
        looks: Of the last page, as it is and on a phone in the dark: how light its
            ``paper`` is (0 to 1), the least ``contrast`` of its texts, and whether it
            ``fits``.
        outside: Requests that left this machine.
        complaints: What the browser says about the last page.
    """

    url: URL = attrs.field(converter=URL)
    titles: List[str]
    text: str
    looks: List[Dict[str, Any]]
    outside: List[str]
    complaints: List[str]


class Person:
    """What ``login`` shows a URL to: goes to the browser and does what is asked there.

    Args:
        browser: Its process.
        **order: What to do; see ``browser.mjs``.
    """

    def __init__(self, browser: Talk, **order: Any) -> None:
        self._browser = browser
        self._order = order
        self._seen: Future[Seen] = Future()

    def __call__(self, url: URL) -> str:
        """Go there, and return the address of the page at the end of the way."""
        try:
            found = self._browser.ask(json.dumps({"url": str(url), **self._order}))
            assert "failed" not in found, found["failed"]
            self._seen.set_result(Seen(**found))
        except BaseException as error:
            self._seen.set_exception(error)
            raise
        return str(found["url"])

    @property
    def seen(self) -> Seen:
        """Wait for the end of the way."""
        return self._seen.result(SECONDS)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that the clock or another process brings about."""
    end = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > end:
            pytest.fail("it does not come about")
        time.sleep(0.05)
