"""``ConfigStore``: the one place where the parts meet.

Methods work on what is stored, properties (``_view``) show the snapshot that the last
method call left. The store is bound to the login of its snapshot, and every change
goes the same way: read under the lock, ``step``, write.

``token`` is the hot path: nothing that it does not need is imported at the top.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Iterator,
    Mapping,
    Optional,
    Tuple,
    Union,
)

import attrs

from ._errors import (
    ConfigError,
    NotLoggedInError,
    StorageError,
    StorageWriteError,
    SwitchOverriddenError,
    WrongStateError,
)
from ._files import FileStorage
from ._local import read_local_choice
from ._session import Choice, Session, Token
from ._states import (
    TokenExpired,
    at,
    fetch,
    fresh_until,
    is_spent,
    log_in,
    log_out,
    same_login,
    step,
    stored,
    switch,
)
from ._view import Snapshot, StoreView

if TYPE_CHECKING:
    import requests
    import requests.auth
    from yarl import URL

    from ._catalog import Catalog
    from ._http import Deadline
    from ._payload import ServerConfig
    from ._platform import PlatformClient
    from ._plugins import PluginManager
    from ._refresh import Unsaved

DEFAULT_API_URL = "https://api.apolo.us/api/v1"
TIMEOUT = 30.0  # seconds, of a whole call
EARLY_TIMEOUT = 5.0  # seconds, of a refresh that is not needed yet
REFUSED_AGE = 300.0  # seconds; a younger token that is refused means an outage


@attrs.define(eq=False, repr=False)
class ConfigStore(StoreView):
    """One user's login and choice of cluster, shared by any number of processes.

    It works logged out as well, and on a damaged directory, so that one can log in.
    Threads may share a store. Unless a method says otherwise, each ends within
    ``timeout`` seconds and raises a ``ConfigError`` that leaves the stored state as
    it was.

    Args:
        path: The directory; else ``$NEUROMATION_CONFIG``, else ``~/.neuro``.
        storage: Where to keep the login instead of a directory.
        clock: Returns seconds since the epoch.
        http: A ``requests.Session`` with the caller's adapters, proxies and
            certificates; without one, requests' own settings and environment
            variables hold.
        timeout: Seconds that a whole call may take.

    Raises:
        UnsupportedSystemError: Not a POSIX system.
    """

    _http: Optional[requests.Session] = attrs.field(default=None, kw_only=True)
    _timeout: float = attrs.field(default=TIMEOUT, kw_only=True)
    _unsaved: Optional[Unsaved] = attrs.field(default=None, init=False)
    _plugins: Optional[PluginManager] = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if self._storage is None:
            self._storage = FileStorage(self._path)
        try:
            self.reload()
        except StorageError as error:
            self._snapshot = Snapshot(None, read_local_choice(), error)

    # -------------------------------------------------------------- transitions

    def reload(self) -> None:
        """See what is stored now, and bind the store to that login.

        Raises:
            StorageError: It cannot be read; the snapshot stays.
        """
        self._adopt(self._read())

    def login_with_token(
        self, token: str, *, url: Union[str, URL, None] = None
    ) -> None:
        """Log in with an access token; there is no refresh token then.

        Args:
            token: The platform's access token. Its ``exp`` says how long it is valid.
            url: The platform's API, ``DEFAULT_API_URL`` if ``None``.

        Raises:
            InvalidTokenError: It is no token, or does not say whose.
            TokenRefusedError: The platform does not accept it.
            NetworkError: The platform cannot be asked.
            StorageError: The login cannot be stored.
        """
        from ._choice import first_choice

        self._log_in(self._bare_token(token), url, first_choice)

    def login_with_passed_config(self, config_data: Optional[str] = None) -> None:
        """Log in with what the platform passes into a job; all or nothing.

        On a read-only home the login stays in memory.

        Args:
            config_data: Base64 of the JSON ``{token, cluster, url, org_name?,
                project_name?}``; else ``$APOLO_PASSED_CONFIG``, else
                ``$NEURO_PASSED_CONFIG``.

        Raises:
            PassedConfigError: There is none, or it is malformed.
            UnknownNameError: It names what does not exist; nothing is stored.
            ConfigError: As ``login_with_token``.
        """
        from ._passed_config import decode

        passed = decode(config_data, os.environ)
        token = self._bare_token(passed.token)
        try:
            self._log_in(token, passed.url, passed.choose)
        except StorageWriteError as error:
            if not error.is_read_only:
                raise
            from ._memory import MemoryStorage

            self._storage = MemoryStorage()
            self._log_in(token, passed.url, passed.choose)

    def fetch(self) -> None:
        """Ask the platform what there is, and store it.

        The choice of cluster, org and project stays; who has none yet gets one.

        Raises:
            NotLoggedInError: Nobody is logged in.
            LoginChangedError: Somebody logged in anew.
            UnknownNameError: What is chosen is gone. What was fetched is stored all
                the same, so that one can switch.
            TokenRefusedError: The platform does not accept the token.
            AuthError: The token had expired and its refresh was refused.
            NetworkError: The platform cannot be asked.
            StorageError: It cannot be stored.
        """
        from ._catalog import encode, in_memory
        from ._choice import checked, effective, first_choice

        deadline = self._deadline()
        session, config = self._ask(self._valid("fetch", deadline), deadline)
        data = encode(config, session.api_url)
        fetched = in_memory(data)

        def change(session: Optional[Session]) -> Optional[Session]:
            same = same_login(session, self._login_id, "fetch")
            choice = same.choice
            if choice.cluster_name is None:
                choice = first_choice(fetched)
            state = at(same, self._clock())
            return stored(step(state, fetch, fetched.digest, config.auth, choice))

        session = self._update("fetch", change, deadline.remaining(), catalog=data)
        checked(fetched, effective(fetched, session.choice, self._local))

    def switch_cluster(self, name: str) -> None:
        """Choose a cluster; the org and the project are kept where it has them.

        Args:
            name: Of an available cluster.

        Raises:
            UnknownClusterError: There is none of that name.
            SwitchOverriddenError: The local file names a cluster.
            NotLoggedInError, LoginChangedError: As ``fetch``.
            StorageError: It cannot be stored.
        """
        from ._choice import choose_cluster

        self._switch(
            "switch_cluster",
            lambda catalog, choice: choose_cluster(catalog, choice, name),
            "cluster_name",
        )

    def switch_org(self, name: Optional[str]) -> None:
        """Choose an org; the cluster moves to the first that has it, if need be.

        Args:
            name: Of an available org; ``None`` is "no org".

        Raises:
            UnknownOrgError: No cluster has it.
            SwitchOverriddenError: The local file names an org, or a cluster that has
                not got it.
            NotLoggedInError, LoginChangedError: As ``fetch``.
            StorageError: It cannot be stored.
        """
        from ._choice import choose_org

        self._switch(
            "switch_org",
            lambda catalog, choice: choose_org(catalog, choice, name),
            "org_name",
        )

    def switch_project(self, name: str) -> None:
        """Choose a project of the stored cluster and org.

        Args:
            name: Of one of their projects.

        Raises:
            UnknownProjectError: There is none of that name.
            SwitchOverriddenError: The local file names something else.
            NotLoggedInError, LoginChangedError: As ``fetch``.
            StorageError: It cannot be stored.
        """
        from ._choice import choose_project

        self._switch(
            "switch_project",
            lambda catalog, choice: choose_project(catalog, choice, name),
            "project_name",
        )

    def refresh_token(self) -> None:
        """Get a token other than the snapshot's, from the disk or from the server.

        Raises:
            CannotRefreshError: The login has no refresh token.
            RefreshPendingError: An earlier refresh's answer got lost, and the token
                is still valid.
            SessionEndedError: The refresh token is not accepted any more.
            NotLoggedInError, LoginChangedError: As ``fetch``.
            AuthError, NetworkError: The authorization server refuses or fails.
            StorageError: The disk takes no commit; nothing was sent.
        """
        deadline = self._deadline()
        stored_now = self._stored("refresh_token")
        self._renew(self._snapshot.session or stored_now, "refresh_token", deadline)

    def logout(self) -> None:
        """Remove the login, whatever its condition, and what was set aside of it.

        Raises:
            StorageError: It cannot be removed.
        """
        self._drop_unsaved()
        session = self._storage.update(
            lambda session: stored(step(at(session, self._clock()), log_out)),
            self._timeout,
            replace=True,
        )
        self._adopt(session)

    # --------------------------------------------------------------------- use

    def token(self) -> str:
        """Return a valid bearer token.

        While the token is fresh it comes from memory. From 75 % of its life a refresh
        is tried without waiting for others, within 5 seconds; if it fails, the token
        that is still valid is returned and a warning logged.

        Raises:
            NotLoggedInError: Nobody is logged in.
            LoginChangedError: Somebody logged in anew.
            CannotRefreshError: It has expired and there is no refresh token.
            SessionEndedError: It has expired and the refresh token is dead.
            AuthError, NetworkError: It has expired, and the authorization server
                refuses or fails.
            StorageError: The disk cannot be read, or takes no commit.
        """
        snapshot = self._snapshot
        if self._clock() < snapshot.fresh_until:
            return snapshot.access_token
        session = self._stored("token")
        now = self._clock()
        if type(at(session, now)) is TokenExpired:
            session = self._renew(session, "token", self._deadline())
        elif now >= fresh_until(session) and not is_spent(session):
            session = self._renew_early(session)
        self._adopt(session)
        return session.token.access_token

    @property
    def auth(self) -> requests.auth.AuthBase:
        """An ``auth`` for requests that sends a valid token to the platform's own hosts."""
        from ._auth import TokenAuth

        return TokenAuth(self)

    def get_user_config(self) -> Mapping[str, Any]:
        """Return the user's settings: ``user.toml`` and the local file, merged.

        Returns:
            A read-only mapping of sections; what the local file says wins.

        Raises:
            UserConfigError: A file is wrong; names the file and the key.
        """
        from ._plugins import load_plugins
        from ._user_config import load_user_config

        if self._plugins is None:
            self._plugins = load_plugins()
        return load_user_config(self.path / "user.toml", plugins=self._plugins)

    # ---------------------------------------------------------------- machinery

    def _origins(self) -> Tuple[str, ...]:
        return tuple(self._catalog("auth").origins)

    def _adopt(self, session: Optional[Session]) -> None:
        unsaved = self._unsaved
        super()._adopt(session if unsaved is None else unsaved.change(session))

    def _read(self) -> Optional[Session]:
        session = self._storage.read()
        unsaved = self._unsaved
        if unsaved is not None:
            session = self._save(unsaved, session)
        return session

    @contextmanager
    def _noticing_logout(self) -> Iterator[None]:
        try:
            yield
        except NotLoggedInError:
            self._adopt(None)
            raise

    def _stored(self, doing: str) -> Session:
        with self._noticing_logout():
            return same_login(self._read(), self._login_id, doing)

    def _deadline(self, seconds: Optional[float] = None) -> Deadline:
        from ._http import Deadline

        return Deadline(self._timeout if seconds is None else seconds)

    def _client(self) -> PlatformClient:
        from ._platform import PlatformClient

        return PlatformClient(self._http)

    def _update(
        self,
        doing: str,
        change: Callable[[Optional[Session]], Optional[Session]],
        timeout: float,
        **options: Any,
    ) -> Session:
        with self._noticing_logout():
            session = self._storage.update(change, timeout, **options)
        self._adopt(session)
        return self._session(doing)

    def _switch(
        self, doing: str, choose: Callable[[Catalog, Choice], Choice], field: str
    ) -> None:
        self._stored(doing)

        def change(session: Optional[Session]) -> Optional[Session]:
            same = same_login(session, self._login_id, doing)
            catalog = self._open(same, doing)
            choice = choose(catalog, same.choice)
            self._require_effect(catalog, choice, field)
            return stored(step(at(same, self._clock()), switch, choice))

        self._update(doing, change, self._timeout)

    def _require_effect(self, catalog: Catalog, choice: Choice, field: str) -> None:
        """Refuse a switch that the local file overrides."""
        from ._choice import effective

        file = read_local_choice()
        if file.error is not None:
            raise file.error
        named = attrs.asdict(file.choice)
        shown = effective(catalog, choice, file.choice)
        if named[field] is None and getattr(shown, field) == getattr(choice, field):
            return
        names = (field, "org_name", "cluster_name")
        name = next(name for name in names if named[name] is not None)
        key = f"job.{name.replace('_', '-')}"
        raise SwitchOverriddenError(key, named[name], str(file.path))

    def _log_in_with_answer(
        self, answer: Mapping[str, Any], url: Union[str, URL, None]
    ) -> None:
        from ._choice import first_choice
        from ._refresh import token_from

        self._log_in(token_from(answer, self._clock()), url, first_choice)

    def _bare_token(self, token: str) -> Token:
        from ._claims import expiry_of
        from ._errors import InvalidTokenError
        from ._guard import is_token

        if not is_token(token):
            raise InvalidTokenError(
                "The token is not usable: it must be visible ASCII without spaces or "
                "line ends. Check how it was read."
            )
        return Token(token, self._clock(), expiry_of(token))

    def _log_in(
        self,
        token: Token,
        url: Union[str, URL, None],
        choose: Callable[[Catalog], Choice],
    ) -> None:
        """Store a login whose token the platform accepts; every login ends here."""
        from ._catalog import encode, in_memory
        from ._claims import username_of

        deadline = self._deadline()
        api_url = str(url or DEFAULT_API_URL).rstrip("/")
        config = self._client().get_config(api_url, token.access_token, deadline)
        if not config.authorized:
            raise _refused(api_url)
        data = encode(config, api_url)
        catalog = in_memory(data)
        session = Session(
            login_id=os.urandom(16).hex(),
            username=username_of(token.access_token),
            api_url=api_url,
            token=token,
            catalog=catalog.digest,
            choice=choose(catalog),
            auth=config.auth,
        )
        self._drop_unsaved()
        self._adopt(
            self._storage.update(
                lambda old: stored(step(at(old, self._clock()), log_in, session)),
                deadline.remaining(),
                catalog=data,
                replace=True,
            )
        )

    def _valid(self, doing: str, deadline: Deadline) -> Session:
        session = self._stored(doing)
        if type(at(session, self._clock())) is TokenExpired:
            session = self._renew(session, doing, deadline)
        return session

    def _ask(
        self, session: Session, deadline: Deadline
    ) -> Tuple[Session, ServerConfig]:
        """Ask for the configuration, once more with another token if one is refused."""
        client = self._client()
        config = client.get_config(
            session.api_url, session.token.access_token, deadline
        )
        if config.authorized:
            return session, config
        # A refusal may be an outage of the platform's auth service: only a token that
        # is stored still and not young is worth a refresh.
        newest = self._stored("fetch")
        if newest.token == session.token:
            age = self._clock() - session.token.obtained_at
            if age <= REFUSED_AGE or session.token.refresh_token is None:
                raise _refused(session.api_url)
            newest = self._renew(session, "fetch", deadline)
        config = client.get_config(newest.api_url, newest.token.access_token, deadline)
        if not config.authorized:
            raise _refused(session.api_url)
        return newest, config

    def _renew(
        self, held: Session, doing: str, deadline: Deadline, *, early: bool = False
    ) -> Session:
        from ._refresh import renew

        with self._noticing_logout():
            session, unsaved = renew(
                self._storage,
                self._client(),
                self._clock,
                held,
                doing=doing,
                deadline=deadline,
                early=early,
            )
        if unsaved is not None:
            self._unsaved = unsaved
        self._adopt(session)
        return session

    def _renew_early(self, session: Session) -> Session:
        try:
            deadline = self._deadline(min(EARLY_TIMEOUT, self._timeout))
            return self._renew(session, "token", deadline, early=True)
        except WrongStateError:
            raise
        except ConfigError as error:
            from ._refresh import failure_after, logger

            logger.warning("The token is still valid; refreshing it failed: %s", error)
            # In memory too: the disk may be what failed.
            failure = failure_after(session, self._clock(), error)
            return attrs.evolve(session, refresh_failure=failure)

    def _save(self, unsaved: Unsaved, session: Optional[Session]) -> Optional[Session]:
        """Try again to save an answer; if that fails, see it as saved all the same."""
        if not unsaved.refresher.held:  # a forked child: saving is the parent's
            return unsaved.change(session)
        try:
            session = unsaved.save(min(EARLY_TIMEOUT, self._timeout))
        except StorageError:
            return unsaved.change(session)
        self._unsaved = None
        return session

    def _drop_unsaved(self) -> None:
        unsaved, self._unsaved = self._unsaved, None
        if unsaved is not None:
            unsaved.refresher.release()


Config = ConfigStore  # its name in the reference


def _refused(api_url: str) -> ConfigError:
    from ._errors import TokenRefusedError

    return TokenRefusedError(
        api_url,
        "the platform does not accept the token, or its auth service is down; it tells "
        "both in the same words. Try again later; if that does not help, log in again.",
    )
