"""The ``requests.Session`` of a client, which carries the store's token.

The token goes to the platform's own hosts, whoever asks for what: ``TokenAuth`` refuses
any other, no redirect to another one takes it along, and what goes to this machine
goes through no proxy, which would see it in the clear.
"""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NoReturn, Optional, Union

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar

from ._auth import TokenAuth
from ._deadline import LONGEST
from ._errors import ClientClosedError
from ._guard import is_loopback, is_same_origin, scheme_and_host

if TYPE_CHECKING:
    from yarl import URL

    from ._store import ConfigStore


class PlatformSession(requests.Session):
    """A ``requests.Session`` that carries a valid token to the platform's own hosts.

    URLs may be ``yarl.URL`` too. Threads may share it, and a forked child has
    connections of its own. A request that names no ``timeout`` waits as long as the
    store would for the connection, and again for each piece of the answer. Besides the
    errors of requests a request may raise ``InsecureURLError`` where it does not go to
    the platform, any other ``ConfigError`` of ``ConfigStore.token``, and
    ``ClientClosedError`` after the client was closed.

    Args:
        store: Whose token.
        timeout: Seconds.
        http: Whose adapters, certificates and proxies are used.
    """

    if TYPE_CHECKING:  # requests' own, which make a str of any URL

        def request(
            self,
            method: Union[str, bytes],
            url: Union[str, bytes, URL],
            *args: Any,
            **kwargs: Any,
        ) -> requests.Response: ...

        def get(
            self, url: Union[str, bytes, URL], *args: Any, **kwargs: Any
        ) -> requests.Response: ...

        def options(
            self, url: Union[str, bytes, URL], *args: Any, **kwargs: Any
        ) -> requests.Response: ...

        def head(
            self, url: Union[str, bytes, URL], *args: Any, **kwargs: Any
        ) -> requests.Response: ...

        def post(
            self, url: Union[str, bytes, URL], *args: Any, **kwargs: Any
        ) -> requests.Response: ...

        def put(
            self, url: Union[str, bytes, URL], *args: Any, **kwargs: Any
        ) -> requests.Response: ...

        def patch(
            self, url: Union[str, bytes, URL], *args: Any, **kwargs: Any
        ) -> requests.Response: ...

        def delete(
            self, url: Union[str, bytes, URL], *args: Any, **kwargs: Any
        ) -> requests.Response: ...

    def __init__(
        self,
        store: ConfigStore,
        timeout: float,
        http: Optional[requests.Session] = None,
    ) -> None:
        super().__init__()
        self.auth = TokenAuth(store)
        # urllib3 takes no timeout of 0, and the system's timers overflow.
        self._timeout = min(max(timeout, 0.001), LONGEST)
        self._is_retired = False
        self._borrowed = [] if http is None else list(http.adapters.values())
        if http is not None:
            self.adapters = OrderedDict(http.adapters)
            self.proxies = dict(http.proxies)
            self.verify = http.verify
            self.cert = http.cert
            self.trust_env = http.trust_env
        _sessions.add(self)

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            "the session of a client is of this process only, since it belongs to a "
            "login; call neuro_config.get() in the other process"
        )

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Make a request that carries the token, unless it has an ``auth`` of its own."""
        self._require_open()
        return super().prepare_request(request)

    def send(
        self, request: requests.PreparedRequest, **kwargs: Any
    ) -> requests.Response:
        """Send a request; every one comes through here, after a redirect too."""
        self._require_open()
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self._timeout
        scheme, host = scheme_and_host(request.url or "")
        if is_loopback(host):
            proxies = kwargs.get("proxies") or self.proxies
            kwargs["proxies"] = {**proxies, f"{scheme}://{host}": None}
        try:
            return super().send(request, **kwargs)
        except requests.RequestException as error:
            failure = error
        # The frames that it comes from hold the request as it was sent, token and all.
        failure.__cause__ = failure.__context__ = None
        raise failure.with_traceback(None)

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Take the token from a redirect to another host; put nothing in its place."""
        # The base class would look into ~/.netrc as well.
        old_url, new_url = response.request.url or "", prepared_request.url or ""
        if not is_same_origin(old_url, new_url):
            prepared_request.headers.pop("Authorization", None)

    def close(self) -> None:
        """Close the connections; those of the caller's own adapters are the caller's."""
        for adapter in self.adapters.values():
            if adapter not in self._borrowed:
                adapter.close()

    def retire(self) -> None:
        """Close the connections and send nothing any more."""
        self._is_retired = True
        self.close()

    def _require_open(self) -> None:
        if self._is_retired:
            raise ClientClosedError

    def _drop_inherited(self) -> None:
        # As after unpickling: with new pools and locks. Closing the old ones would take
        # locks whose holder may not exist here.
        for adapter in self.adapters.values():
            if isinstance(adapter, HTTPAdapter):
                old: Any = adapter
                old.__setstate__(old.__getstate__())
        old_jar: Any = self.cookies
        jar: Any = RequestsCookieJar(old_jar.get_policy())
        jar.__setstate__(old_jar.__getstate__())
        self.cookies = jar


# Alive in this process, for its forked children.
_sessions: weakref.WeakSet[PlatformSession] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for session in list(_sessions):
        session._drop_inherited()


os.register_at_fork(after_in_child=_after_fork_in_child)
