"""``Client`` and the module's functions: a store and a session that carries its token."""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import TYPE_CHECKING, Callable, Dict, Mapping, Optional, Type, Union

import attr

from ._errors import ClientClosedError, NotLoggedInError
from ._session import Secret
from ._states import LoggedOut
from ._store import TIMEOUT, ConfigStore

if TYPE_CHECKING:
    import requests
    from yarl import URL

    from ._http_session import PlatformSession
    from ._storage import Storage
    from ._values import Preset


@attr.define(eq=False, repr=False)
class Client:
    """A store, and a ``requests.Session`` that carries its token.

    Threads may share it. As a context manager it closes itself.

    Args:
        config: The store; it stays usable after ``close()``.
    """

    _config: ConfigStore = attr.field(
        validator=attr.validators.instance_of(ConfigStore)
    )
    _closed: bool = attr.field(default=False, init=False)
    _made: Dict[str, PlatformSession] = attr.field(factory=dict, init=False)

    def __repr__(self) -> str:
        closed = " closed" if self._closed else ""
        return f"<Client {self._config!r}{closed}>"

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    @property
    def config(self) -> ConfigStore:
        """The store."""
        return self._config

    @property
    def session(self) -> PlatformSession:
        """A ``requests.Session``, made when first asked for; always the same one.

        Raises:
            ClientClosedError: The client is closed.
        """
        from ._http_session import PlatformSession

        made = self._made.get("session")
        if made is None:
            config = self._config
            made = PlatformSession(config, config._timeout, config._http)
            # No lock: one that a thread holds while another forks stays held there.
            made = self._made.setdefault("session", made)
        if self._closed:  # asked last, for another thread may be closing it
            made.retire()
            raise ClientClosedError
        return made

    @property
    def username(self) -> str:
        """The platform's name of the user."""
        return self._config.username

    @property
    def cluster_name(self) -> str:
        """The current cluster; see ``ConfigStore.cluster_name``."""
        return self._config.cluster_name

    @property
    def presets(self) -> Mapping[str, Preset]:
        """The presets of the current cluster by name."""
        return self._config.presets

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self._closed

    def close(self) -> None:
        """Close the session's connections; again is harmless."""
        self._closed = True
        session = self._made.get("session")
        if session is not None:
            session.retire()


def get(
    path: Union[str, os.PathLike[str], None] = None,
    *,
    storage: Optional[Storage] = None,
    clock: Callable[[], float] = time.time,
    http: Optional[requests.Session] = None,
    timeout: float = TIMEOUT,
) -> Client:
    """Open the stored login; inside a job, log in with what the platform passed into it.

    A passed configuration is taken when nobody is logged in. Of several processes that
    ask at once, one stores its login and the others use it. On a read-only home each
    has a login of its own, in memory.

    Args:
        path: As all arguments, of ``ConfigStore``.
        storage: Where to keep the login instead of a directory.
        clock: Returns seconds since the epoch.
        http: A ``requests.Session`` with the caller's adapters, proxies and
            certificates.
        timeout: Seconds that a whole call may take.

    Raises:
        NotLoggedInError: Nobody is logged in, and nothing was passed.
        StorageError: The login cannot be read, or not be stored; it is left as it is.
        ConfigError: As ``ConfigStore.login_with_passed_config``.
    """
    store = ConfigStore(path, storage=storage, clock=clock, http=http, timeout=timeout)
    if isinstance(store.state, LoggedOut):
        from ._passed_config import VARIABLES

        if not any(map(os.environ.get, VARIABLES)):
            raise NotLoggedInError("LoggedOut", "get")
        store._log_in_with_passed_config(None, replace=False)
    return Client(store)


def login(
    show_browser: Optional[Callable[[URL], object]] = None,
    *,
    url: Union[str, URL, None] = None,
    path: Union[str, os.PathLike[str], None] = None,
) -> None:
    """Log in with a browser; see ``ConfigStore.login``.

    Args:
        show_browser: Shows the URL of the login page; ``webbrowser.open`` if ``None``.
        url: The platform's API, ``DEFAULT_API_URL`` if ``None``.
        path: The directory, as of ``ConfigStore``.

    Raises:
        ConfigError: As ``ConfigStore.login``.
    """
    ConfigStore(path).login(show_browser, url=url)


def login_headless(
    get_auth_code: Callable[[URL], str],
    *,
    url: Union[str, URL, None] = None,
    path: Union[str, os.PathLike[str], None] = None,
) -> None:
    """Log in with a code that somebody copies; see ``ConfigStore.login_headless``.

    Args:
        get_auth_code: Shows the URL of the login page and returns the code.
        url: The platform's API, ``DEFAULT_API_URL`` if ``None``.
        path: The directory, as of ``ConfigStore``.

    Raises:
        ConfigError: As ``ConfigStore.login_headless``.
    """
    ConfigStore(path).login_headless(get_auth_code, url=url)


def login_with_token(
    token: str,
    *,
    url: Union[str, URL, None] = None,
    path: Union[str, os.PathLike[str], None] = None,
) -> None:
    """Log in with an access token; see ``ConfigStore.login_with_token``.

    Args:
        token: The platform's access token.
        url: The platform's API, ``DEFAULT_API_URL`` if ``None``.
        path: The directory, as of ``ConfigStore``.

    Raises:
        ConfigError: As ``ConfigStore.login_with_token``.
    """
    token = Secret(token if isinstance(token, str) else "")  # no traceback shows it
    ConfigStore(path).login_with_token(token, url=url)


def logout(
    *,
    path: Union[str, os.PathLike[str], None] = None,
    show_browser: Optional[Callable[[URL], object]] = None,
) -> None:
    """Remove the login; see ``ConfigStore.logout``.

    Args:
        path: The directory, as of ``ConfigStore``.
        show_browser: Shows the URL that ends the browser's session too, if it is wanted.

    Raises:
        ConfigError: As ``ConfigStore.logout``.
    """
    ConfigStore(path).logout(show_browser)
