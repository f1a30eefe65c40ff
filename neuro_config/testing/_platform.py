"""``Platform``: the embedded platform as its users see it."""

from __future__ import annotations

import os
import ssl as _ssl
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    Iterable,
    Mapping,
    Optional,
    Tuple,
    Type,
    Union,
)

import attr
from werkzeug.serving import load_ssl_context
from yarl import URL

from neuro_config._deadline import Deadline
from neuro_config.testing._account import Account, Snapshot
from neuro_config.testing._app import App
from neuro_config.testing._client import TIMEOUT, log_in
from neuro_config.testing._faults import Faults
from neuro_config.testing._log import ENDPOINTS, Log, RequestRecord
from neuro_config.testing._model import DEFAULT_CLUSTER, ClusterSpec, ProjectSpec
from neuro_config.testing._render import ERAS, Site
from neuro_config.testing._server import HOST, Server
from neuro_config.testing._tokens import TokenServer, TokenSettings

if TYPE_CHECKING:
    from neuro_config import ConfigStore

CALLBACK_URLS = tuple(f"http://{HOST}:{port}" for port in (54540, 54541, 54542))


def _checked_era(era: str) -> str:
    if era not in ERAS:
        raise ValueError(f"era must be one of {', '.join(ERAS)}, not {era!r}")
    return era


class Platform:
    """Run a Neu.ro/Apolo platform on a loopback port: configuration and logins.

    Use it as a context manager, or call ``start()`` and ``stop()``; it can be started
    again, keeps its port and forgets nothing. After a fork the child's copy is
    stopped, and only its ``url`` may be used.

    Args:
        user: Who logs in when the client names nobody.
        users: Further logins; they see the same clusters.
        clusters: What the users see; by default one cluster with a preset of every
            kind. See ``make_clusters`` for many.
        orgs: Org name to role; by default the orgs of the clusters, as ``user``.
        projects: By default one named ``main`` per cluster and org.
        era: Whose JSON is spoken: a month of ``ERAS``.
        token_life: Seconds that an access token is valid.
        rotate: Whether a refresh token can be spent once only.
        claim: Which claim of the access token holds the user name, of
            ``IDENTITY_CLAIMS``.
        authorization: ``False`` for a platform that knows no users and lists its
            clusters to anybody, as old standalone installations do; it names no way
            to log in either.
        oauth: ``False`` for a server that tells nobody how to log in.
        public_urls: ``False`` for a server that has no public auth URL.
        success_redirect: Whether ``success_redirect_url`` is sent.
        callback_urls: Where a browser login may return to.
        client_id: Of the one OAuth2 client.
        interactive: Whether the login page shows a form; else it answers at once.
        port: 0 is a free one.
        ssl: For https: a certificate file and its key file, or an ``SSLContext``.

    Attributes:
        account: Clusters, orgs and projects (``Account``); change them at any time.
        tokens: How tokens are made (``TokenSettings``); change it at any time.
        faults: What goes wrong (``Faults``); nothing at first.

    Raises:
        ValueError: The era is unknown.
    """

    def __init__(
        self,
        *,
        user: str = "alice",
        users: Iterable[str] = (),
        clusters: Iterable[ClusterSpec] = (DEFAULT_CLUSTER,),
        orgs: Optional[Mapping[str, str]] = None,
        projects: Optional[Iterable[ProjectSpec]] = None,
        era: str = ERAS[-1],
        token_life: float = 3600,
        rotate: bool = True,
        claim: str = "identity",
        authorization: bool = True,
        oauth: bool = True,
        public_urls: bool = True,
        success_redirect: bool = False,
        callback_urls: Iterable[str] = CALLBACK_URLS,
        client_id: str = "neuro-cli",
        interactive: bool = False,
        port: int = 0,
        ssl: Union[_ssl.SSLContext, Tuple[str, str], None] = None,
    ) -> None:
        given_projects = None if projects is None else tuple(projects)
        self.account = Account(
            {user, *users}, Snapshot(tuple(clusters), orgs, given_projects)
        )
        self.tokens = TokenSettings(life=token_life, rotate=rotate, claim=claim)
        self.faults = Faults()
        self._user = user
        self._log = Log()
        self._token_server = TokenServer(self.tokens)
        self._ssl = ssl
        self._port = port
        self._server: Optional[Server] = None
        self._server_pid = 0
        self._app = App(
            account=self.account,
            tokens=self._token_server,
            faults=self.faults,
            log=self._log,
            site=Site(
                origin="",
                client_id=client_id,
                callback_urls=tuple(callback_urls),
                oauth=oauth and authorization,
                public_urls=public_urls,
                success_redirect=success_redirect,
            ),
            user=user,
            era=_checked_era(era),
            authorization=authorization,
            interactive=interactive,
        )

    def __repr__(self) -> str:
        where = self._app.site.origin or "never started"
        state = "running" if self.running else "stopped"
        return f"<Platform {where} era={self.era} {state}>"

    # ------------------------------------------------------------- start and stop

    @property
    def running(self) -> bool:
        """Whether requests are served by this process."""
        return self._server is not None and self._server_pid == os.getpid()

    def start(self) -> None:
        """Serve requests until ``stop()``.

        Raises:
            RuntimeError: It is running already.
            OSError: The port is taken, or a file of ``ssl`` cannot be read.
        """
        if self.running:
            raise RuntimeError("the platform is running already")
        context = self._ssl
        if isinstance(context, tuple):
            context = load_ssl_context(*context)
        self._app.stopping.clear()
        self._server = Server(self._app, self._port, context)
        self._server_pid = os.getpid()
        self._port = self._server.port
        scheme = "http" if context is None else "https"
        self._app.site = attr.evolve(
            self._app.site, origin=f"{scheme}://{HOST}:{self._port}"
        )

    def stop(self) -> None:
        """Stop serving; the port refuses connections. Does nothing if stopped.

        Requests under way lose their connection. All threads have ended and all
        sockets are closed when this returns.
        """
        if not self.running:
            return
        server, self._server = self._server, None
        assert server is not None
        self._app.stopping.set()
        server.close()

    def __enter__(self) -> Platform:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.stop()

    # ----------------------------------------------------------------- the platform

    @property
    def url(self) -> URL:
        """The API's URL, such as ``http://127.0.0.1:PORT/api/v1``.

        Raises:
            RuntimeError: The platform was never started.
        """
        if not self._app.site.origin:
            raise RuntimeError("the platform has no URL before it is started")
        return URL(self._app.site.origin) / "api" / "v1"

    @property
    def user(self) -> str:
        """Who logs in when the client names nobody."""
        return self._user

    @property
    def era(self) -> str:
        """Whose JSON is spoken; can be set at any time to another of ``ERAS``."""
        return self._app.era

    @era.setter
    def era(self, era: str) -> None:
        self._app.era = _checked_era(era)

    # ------------------------------------------------------------------------ tokens

    def issue_access_token(
        self, user: Optional[str] = None, life: Optional[float] = None
    ) -> str:
        """Make an access token that has no refresh token.

        Args:
            user: By default the platform's; one that the platform does not know makes
                a token that it refuses.
            life: Seconds that it is valid, negative for an expired one; by default
                ``tokens.life``.

        Returns:
            A JWT.
        """
        return self._token_server.access_token(user or self._user, life)

    def authorize(
        self,
        user: Optional[str] = None,
        *,
        redirect_uri: Optional[str] = None,
        verify: Union[bool, str, None] = None,
    ) -> Dict[str, Any]:
        """Log in over HTTP with code and PKCE, as a client would; both requests count.

        Args:
            user: By default the platform's.
            redirect_uri: By default the first of the callback URLs; nothing needs
                to listen there.
            verify: For https, what ``requests`` trusts; by default the certificate
                given to the platform.

        Returns:
            What the token endpoint answered, with ``access_token``, ``refresh_token``,
            ``expires_in`` (seconds), ``token_type`` and ``scope``.

        Raises:
            requests.RequestException: The network failed, or the answer was not 200.
            RuntimeError: The authorization was denied.
        """
        if verify is None:
            verify = self._ssl[0] if isinstance(self._ssl, tuple) else True
        site = self._app.site
        return log_in(
            site,
            user=user or self._user,
            redirect_uri=redirect_uri or site.callback_urls[0],
            verify=verify,
        )

    def log_in(self, store: ConfigStore, user: Optional[str] = None) -> None:
        """Log a store in with a refresh token, as a browser login would.

        Args:
            store: Any store; it may be logged in already.
            user: By default the platform's.

        Raises:
            requests.RequestException: The network failed, or the answer was not 200.
            ConfigError: The login cannot be stored.
        """
        answer = self.authorize(user)
        store._log_in_with_answer(answer, self.url, Deadline(TIMEOUT))

    def revoke_all(self) -> None:
        """Revoke every code and token given so far, access tokens too."""
        self._token_server.revoke_all()

    # ----------------------------------------------------------------------- the log

    @property
    def requests(self) -> Tuple[RequestRecord, ...]:
        """All requests so far, in the order in which they arrived."""
        return self._log.records()

    def count(self, endpoint: Optional[str] = None, **fields: object) -> int:
        """Count the requests that look like this.

        Args:
            endpoint: Of ``RequestRecord``; by default any.
            fields: Further fields of ``RequestRecord`` and their values, such as
                ``grant_type="refresh_token"`` or ``status=200``.

        Returns:
            How many there are now.

        Raises:
            ValueError: There is no such endpoint or field; it would count nothing.
        """
        if endpoint is not None:
            fields["endpoint"] = endpoint
        if fields.get("endpoint", "other") not in ENDPOINTS:
            raise ValueError(f"endpoint must be one of {', '.join(ENDPOINTS)}")
        known = attr.fields_dict(RequestRecord)
        if not set(fields) <= set(known):
            raise ValueError(f"the fields of a record are {', '.join(known)}")
        return sum(
            all(getattr(record, name) == value for name, value in fields.items())
            for record in self.requests
        )

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        self._log.clear()
