"""``ConfigStore``: the one place where the parts meet.

Methods work on what is stored, properties (``_view``) show the snapshot that the last
method call left. The store is bound to the login of its snapshot, and every change
goes the same way: read under the lock, ``step``, write.

``token`` is the hot path: nothing that it does not need is imported at the top.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import contextmanager, suppress
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Iterator,
    List,
    Mapping,
    Optional,
    Tuple,
    Union,
)

import attr

from . import _unsaved
from ._deadline import Deadline
from ._errors import (
    ConfigError,
    LoginChangedError,
    NotLoggedInError,
    StorageError,
    StorageUnavailableError,
    StorageWriteError,
    SwitchOverriddenError,
)
from ._facts import can_refresh, fresh_until, is_expired, is_pending, same_login
from ._files import open_storage
from ._local import LocalChoice, read_local_choice
from ._session import AuthConfig, Choice, Secret, Session
from ._view import Binding, Snapshot, StoreView

if TYPE_CHECKING:
    import requests
    import requests.auth
    from yarl import URL

    from ._catalog import Catalog
    from ._cluster_line import Known
    from ._login import GetAuthCode, ShowBrowser, TokenRequest
    from ._new_login import NewLogin, NewLogins
    from ._pages import Page
    from ._payload import ServerConfig
    from ._platform import PlatformClient
    from ._plugins import PluginManager
    from ._storage import Storage

DEFAULT_API_URL = "https://api.apolo.us/api/v1"
TIMEOUT = 30.0  # seconds, of a whole call
LOGIN_TIMEOUT = 300.0  # seconds, of a person who logs in with a browser
EARLY_TIMEOUT = 5.0  # seconds, of a refresh that is not needed yet
SAVE_PAUSE = 5.0  # seconds between two tries to save an answer
REFUSED_AGE = 300.0  # seconds; a younger token that is refused means an outage


_SECONDS: Any = attr.validators.and_(
    attr.validators.instance_of((int, float)), attr.validators.ge(0)
)


class _Call:
    """One call of a method: its name, what it began with, its deadline."""

    __slots__ = ("binding", "deadline", "doing", "login_id", "seen")

    def __init__(self, doing: str, binding: Binding, deadline: Deadline) -> None:
        self.doing = doing
        self.binding = binding
        self.seen = binding.snapshot
        self.login_id = self.seen.login_id
        self.deadline = deadline


@attr.define(eq=False, repr=False)
class ConfigStore(StoreView):
    """One user's login and choice of cluster, shared by any number of processes.

    It works logged out as well, and on a damaged directory, so that one can log in.
    Threads may share a store. Unless a method says otherwise, each ends within
    ``timeout`` seconds and raises a ``ConfigError``; user, choice and catalog are then
    as they were. A refresh on the way is noted, and its token kept.

    Args:
        path: The directory, or the URL of a storage (``EtcdStorage``); else
            ``$NEUROMATION_CONFIG``, else ``~/.neuro``.
        storage: Where to keep the login instead of a directory.
        clock: Returns seconds since the epoch.
        http: A ``requests.Session`` with the caller's adapters, proxies and
            certificates; without one, requests' own settings and environment
            variables hold.
        timeout: Seconds that a whole call may take.
        login_timeout: Seconds that a person may take to log in with a browser.

    Raises:
        UnsupportedSystemError: Not a POSIX system.
        StorageURLError: The URL names no storage that can be used here.
    """

    _http: Optional[requests.Session] = attr.field(default=None, kw_only=True)
    _timeout: float = attr.field(default=TIMEOUT, validator=_SECONDS, kw_only=True)
    _login_timeout: float = attr.field(
        default=LOGIN_TIMEOUT, validator=_SECONDS, kw_only=True
    )
    _directory: Optional[str] = attr.field(default=None, init=False)
    _rebinding: threading.RLock = attr.field(factory=threading.RLock, init=False)
    _showing: threading.Lock = attr.field(factory=threading.Lock, init=False)
    _plugins: Optional[PluginManager] = attr.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if self._storage is None:
            self._storage, directory = open_storage(self._path)
            self._directory = directory.location
        elif self._path is not None:
            self._directory = open_storage(self._path).directory.location
        self._clock = self._storage.shared_clock(self._clock)
        _stores.add(self)
        try:
            # A shorter wait: who asks for something afterwards waits anew.
            self._bind(self._read(Deadline(min(EARLY_TIMEOUT, self._timeout))))
        except StorageError as error:
            self._binding = Binding(Snapshot(None, read_local_choice(), error))

    # -------------------------------------------------------------- transitions

    def reload(self) -> None:
        """See what is stored now, and bind the store to that login.

        Raises:
            StorageError: It cannot be read; the snapshot stays.
        """
        self._reload(Deadline(self._timeout))

    def login(
        self,
        show_browser: Optional[ShowBrowser] = None,
        *,
        url: Union[str, URL, None] = None,
    ) -> None:
        """Log in with a browser on this machine; brings a refresh token.

        The user has ``login_timeout`` seconds, the rest of the call ``timeout``. A
        platform without authorization needs no browser.

        Args:
            show_browser: Shows a ``yarl.URL`` to the user, in a thread of its own, so
                that it may take as long as the login. ``None`` opens the system's
                browser, and logs the URL as a warning for those whose does not open.
            url: The platform's API, ``DEFAULT_API_URL`` if ``None``.

        Raises:
            LoginNotOfferedError: The platform does not let a browser log in here.
            CallbackPortError: No port for the browser's answer can be had.
            LoginTimeoutError: Nobody logged in in time.
            LoginDeniedError: The user cancelled, or may not log in.
            CodeRefusedError: The authorization server does not accept its own code.
            AuthError: It refuses for another reason.
            InsecureURLError: A secret would go over plain http, or to another server.
            InvalidTokenError: The server's token does not say whose it is.
            NetworkError: The platform or the authorization server fails.
            StorageError: The login cannot be stored.
            Exception: What ``show_browser`` raises.
        """
        from ._login import in_browser

        self._log_in_as_a_person(
            url,
            lambda auth, redeem: in_browser(
                auth, show_browser, self._login_timeout, redeem
            ),
        )

    def login_headless(
        self, get_auth_code: GetAuthCode, *, url: Union[str, URL, None] = None
    ) -> None:
        """Log in with a browser anywhere; brings a refresh token.

        Args:
            get_auth_code: Shows a ``yarl.URL`` to the user and returns the code that
                the last page shows, or that page's whole URL. It may take its time.
            url: The platform's API, ``DEFAULT_API_URL`` if ``None``.

        Raises:
            LoginNotOfferedError: The platform has no page that shows a code.
            InvalidCodeError: What was given is no code, or one of another login.
            ConfigError: As ``login``.
            Exception: What ``get_auth_code`` raises.
        """
        from ._login import headless

        self._log_in_as_a_person(
            url, lambda auth, redeem: headless(auth, get_auth_code, redeem)
        )

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
        deadline = Deadline(self._timeout)
        token = Secret(token if isinstance(token, str) else "")  # no traceback shows it
        new = self._new_logins().with_token(token, _api_url(url), deadline)
        self._store_login(new, deadline)

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
        config_data = config_data and Secret(config_data)  # no traceback shows it
        self._log_in_with_passed_config(config_data)

    def import_login(self, path: Union[str, os.PathLike[str], None] = None) -> None:
        """Take over the login of an installed ``neuro`` or ``apolo`` command-line tool.

        The tool's files stay as they are, and no request is made: what the platform
        offers is as old as the tool's own knowledge until ``fetch``. Import only if the
        tool is not used any more: two programs that spend one refresh token end the
        login of both.

        Args:
            path: The tool's directory or the file ``db`` in it; else the newer login of
                ``~/.neuro`` and ``~/.apolo``.

        Raises:
            ImportLoginError: There is no login, or it cannot be used.
            StorageError: The login cannot be stored.
        """
        deadline = Deadline(self._timeout)
        self._store_login(self._new_logins().of_tool(path, deadline), deadline)

    def fetch(self) -> None:
        """Ask the platform what there is, and store it.

        The choice of cluster, org and project stays; who has none yet gets one. So does
        the authorization server that the refresh token comes from, whatever other one
        the platform names by now.

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
        from ._states import at, fetch, step, stored

        call = self._call("fetch")
        session = self._valid(call)
        known = self._known(call, session)
        session, config = self._ask(call, session, known)
        # What comes again, as it mostly does, is neither read nor written again.
        is_known = bool(known.source) and config.source == known.source
        data = known.catalog if is_known else encode(config, session.api_url)
        fetched = in_memory(data)
        auth = _auth_to_keep(session, config.auth)

        def change(stored_now: Optional[Session]) -> Optional[Session]:
            # What was fetched is of the login that was asked for, whoever is bound now.
            same = same_login(stored_now, session.login_id, "fetch")
            choice = same.choice
            if choice.cluster_name is None:
                choice = first_choice(fetched)
            state = at(same, self._clock())
            return stored(step(state, fetch, fetched.digest, auth, choice))

        saved = self._update(call, change, catalog=data)
        snapshot = call.binding.snapshot
        local = snapshot.named()
        if saved.choice == local == Choice():
            return  # nothing was chosen, so nothing is gone
        hint = snapshot.hint()
        checked(fetched, effective(fetched, saved.choice, local, hint), hint)

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
        from ._catalog import FETCH_HINT
        from ._choice import choose_cluster

        self._switch(
            "switch_cluster",
            lambda catalog, choice: choose_cluster(catalog, choice, name, FETCH_HINT),
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
        call = self._call("refresh_token")
        self._renew(call, call.seen.session or self._stored(call))

    def logout(self, show_browser: Optional[ShowBrowser] = None) -> None:
        """Remove the login, whatever its condition, and what was set aside of it.

        The refresh token is revoked where the authorization server lets that be done,
        within 5 seconds; if that fails a warning is logged.

        Args:
            show_browser: Shows a ``yarl.URL`` at which the platform ends the
                browser's own session, too; without it that one goes on.

        Raises:
            StorageError: It cannot be removed.
            Exception: What ``show_browser`` raises; nobody is logged in any more.
        """
        from ._states import at, log_out, step, stored

        deadline = Deadline(self._timeout)
        removed: List[Optional[Session]] = []

        def change(session: Optional[Session]) -> Optional[Session]:
            removed[:] = [session]
            return stored(step(at(session, self._clock()), log_out))

        with self._rebinding:
            location = self._storage.location
            session = self._storage.update(change, deadline.remaining(), replace=True)
            found = removed[0]
            ended = _unsaved.seen(location, found)
            _unsaved.drop(
                location, lambda one: found is None or one.change(found) != found
            )
            self._bind(session)
        if ended is None or ended.auth is None:
            return
        if ended.token.refresh_token is not None:
            self._revoke(ended.auth, ended.token.refresh_token, deadline)
        if show_browser is not None and ended.auth.logout_url is not None:
            from ._login import show_logout

            show_logout(ended.auth, ended.auth.logout_url, show_browser)

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
        snapshot = self._binding.snapshot
        if snapshot.is_fresh(self._clock()):
            return snapshot.access_token
        call = self._call("token")
        session = self._stored_or_held(call)
        now = self._clock()
        if is_expired(session, now):
            session = self._renew(call, session)
        elif now >= fresh_until(session, now) and not is_pending(session, now):
            session = self._renew_early(call, session)
        else:
            self._adopt(call, session)
        return str(session.token.access_token)

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
            StorageError: Others could change the directory, so what it says is not used.
        """
        from ._plugins import load_plugins
        from ._user_config import load_user_config

        if self._plugins is None:
            self._plugins = load_plugins()
        file = self._directory and os.path.join(self._directory, "user.toml")
        return load_user_config(file, plugins=self._plugins)

    # ---------------------------------------------------------------- machinery

    def _origins(self) -> Tuple[str, ...]:
        return tuple(self._catalog("auth").origins)

    def _call(self, doing: str) -> _Call:
        deadline = Deadline(self._timeout)
        if isinstance(self._binding.snapshot.error, StorageUnavailableError):
            # It was away when the store was opened, so that is bound to nobody yet.
            self._reload(deadline)
        return _Call(doing, self._binding, deadline)

    def _show(self, session: Optional[Session]) -> Snapshot:
        """Make the snapshot of what is stored, an answer that is not saved yet included."""
        local, now = read_local_choice(), self._clock()
        location = self._storage.location
        if _unsaved.find(location) is None:
            return Snapshot(session, local, taken_at=now)
        session = _unsaved.seen(location, session)
        return Snapshot(session, local, taken_at=now, look_again_at=now + SAVE_PAUSE)

    def _reload(self, deadline: Deadline) -> None:
        with self._rebinding:
            call = _Call("reload", self._binding, deadline)
            session = self._read(deadline)
            if session is not None and session.login_id == call.login_id:
                self._adopt(call, session)
            else:
                self._bind(session)

    def _bind(self, session: Optional[Session]) -> None:
        self._binding = Binding(self._show(session))

    def _adopt(self, call: _Call, session: Optional[Session]) -> None:
        """Show what a call has found.

        What it has found is shown once: by the next time it would be older than that.
        If another thread has shown something since the call looked last, nobody knows
        which of the two is newer, so it looks again. That nobody is logged in any more
        is the last thing that a binding shows.
        """
        while not self._shows(call, self._show(session)):
            assert session is not None  # which would have been shown
            try:
                found = self._newest(call.deadline)
                newest = same_login(found, call.login_id, call.doing)
            except ConfigError:
                return  # what the other thread has shown is good enough
            session = _with_failure_of(session, newest)

    def _shows(self, call: _Call, snapshot: Snapshot) -> bool:
        with self._showing:
            seen, call.seen = call.seen, call.binding.snapshot
            if seen is not call.seen and snapshot.session is not None:
                return False
            call.binding.snapshot = call.seen = snapshot
            return True

    def _read(self, deadline: Deadline) -> Optional[Session]:
        location = self._storage.location
        with suppress(StorageError):  # it is used as if it were saved
            _unsaved.save(location, min(EARLY_TIMEOUT, deadline.remaining()))
        return self._newest(deadline)

    def _newest(self, deadline: Deadline) -> Optional[Session]:
        # Looked for first: once it is saved, it is on the disk that is read then.
        unsaved = _unsaved.find(self._storage.location)
        session = self._storage.read(deadline.remaining())
        return session if unsaved is None else unsaved.change(session)

    @contextmanager
    def _noticing_logout(self, call: _Call) -> Iterator[None]:
        try:
            yield
        except NotLoggedInError:
            self._adopt(call, None)
            raise

    def _stored(self, call: _Call, deadline: Optional[Deadline] = None) -> Session:
        with self._noticing_logout(call):
            session = self._read(deadline or call.deadline)
            return same_login(session, call.login_id, call.doing)

    def _stored_or_held(self, call: _Call) -> Session:
        """Read; while the storage is away a token that is still valid will do."""
        held = call.seen.session
        if held is None or is_expired(held, self._clock()):
            return self._stored(call)
        try:
            left = min(EARLY_TIMEOUT, call.deadline.remaining())
            return self._stored(call, Deadline(left))
        except StorageUnavailableError as error:
            return self._still_valid(held, error)

    def _revoke(self, auth: AuthConfig, refresh_token: str, deadline: Deadline) -> None:
        from ._refresh import logger

        left = Deadline(min(EARLY_TIMEOUT, deadline.remaining()))
        try:
            self._client().revoke(auth, refresh_token, left)
        except ConfigError as error:
            logger.warning("The refresh token could not be revoked: %s", error)

    def _client(self) -> PlatformClient:
        from ._platform import PlatformClient

        return PlatformClient(self._http)

    def _update(
        self,
        call: _Call,
        change: Callable[[Optional[Session]], Optional[Session]],
        **options: Any,
    ) -> Session:
        with self._noticing_logout(call):
            session = self._storage.update(change, call.deadline.remaining(), **options)
            self._adopt(call, session)
            return same_login(session, call.login_id, call.doing)

    def _switch(
        self, doing: str, choose: Callable[[Catalog, Choice], Choice], field: str
    ) -> None:
        from ._states import at, step, stored, switch

        call = self._call(doing)

        def change(session: Optional[Session]) -> Optional[Session]:
            same = same_login(session, call.login_id, doing)
            local = read_local_choice()
            _require_no_override(local, field)
            catalog = self._open(same, doing)
            choice = choose(catalog, same.choice)
            _require_effect(local, catalog, choice, field)
            return stored(step(at(same, self._clock()), switch, choice))

        self._update(call, change)

    def _new_logins(self) -> NewLogins:
        from ._new_login import NewLogins

        return NewLogins(self._client(), self._clock)

    def _log_in_as_a_person(
        self,
        url: Union[str, URL, None],
        ask: Callable[[AuthConfig, Callable[[TokenRequest], Page]], None],
    ) -> None:
        """Have a person log in, in the way that is given."""
        from ._login import page_of, required

        api_url = _api_url(url)
        deadline = Deadline(self._timeout)
        config = self._client().get_config(api_url, None, deadline)
        if config.clusters:  # without a token: a platform without authorization
            new = self._new_logins().without_authorization(config, api_url)
            self._store_login(new, deadline)
            return
        auth = required(config.auth, api_url)

        left = deadline.remaining()

        def redeem(fields: TokenRequest) -> Page:
            deadline = Deadline(left)  # nobody's fault that a person takes time
            answer = self._client().redeem(auth, fields, deadline)
            username = self._log_in_with_answer(answer, api_url, deadline)
            return page_of(auth, api_url, username)

        ask(auth, redeem)

    def _log_in_with_answer(
        self, answer: Mapping[str, Any], url: Union[str, URL, None], deadline: Deadline
    ) -> str:
        new = self._new_logins().with_answer(answer, _api_url(url), deadline)
        self._store_login(new, deadline)
        return new.session.username

    def _log_in_with_passed_config(
        self, config_data: Optional[str], *, replace: bool = True
    ) -> None:
        deadline = Deadline(self._timeout)
        new = self._new_logins().with_passed_config(config_data, deadline)
        try:
            self._store_login(new, deadline, replace=replace)
        except StorageWriteError as error:
            if not error.is_read_only:
                raise
            from ._memory import MemoryStorage

            self._store_login(new, deadline, storage=MemoryStorage())

    def _store_login(
        self,
        new: NewLogin,
        deadline: Deadline,
        *,
        storage: Optional[Storage] = None,
        replace: bool = True,
    ) -> None:
        """Store a login; every login ends here.

        Args:
            storage: Where to; from then on it is this store's.
            replace: Whether it takes the place of whatever is there; else a login that
                is stored by now is taken instead, and damage is an error.
        """
        from ._states import at, log_in, step, stored

        storage = storage or self._storage

        def change(old: Optional[Session]) -> Optional[Session]:
            if old is not None and not replace:
                return old
            return stored(step(at(old, self._clock()), log_in, new.session))

        with self._rebinding:
            saved = storage.update(
                change, deadline.remaining(), catalog=new.catalog, replace=replace
            )
            self._storage = storage
            # Not the answer to a refresh of the new login.
            _unsaved.drop(storage.location, lambda one: one.change(saved) == saved)
            self._bind(saved)

    def _valid(self, call: _Call) -> Session:
        session = self._stored(call)
        if is_expired(session, self._clock()):
            session = self._renew(call, session)
        return session

    def _known(self, call: _Call, session: Session) -> Known:
        """Return the stored catalog; nothing if it is damaged."""
        from ._cluster_line import Known

        with suppress(ConfigError):
            left = call.deadline.remaining
            return self._opened_anew(session, call.doing, left).whole()
        return Known()

    def _ask(
        self, call: _Call, session: Session, known: Known
    ) -> Tuple[Session, ServerConfig]:
        """Ask for the configuration, once more with another token if one is refused."""
        from ._errors import TokenRefusedError
        from ._guard import shown

        client = self._client()
        config = client.get_config(
            session.api_url, session.token.access_token, call.deadline, known=known
        )
        if config.authorized:
            return session, config
        # A refusal may be an outage of the platform's auth service: only a token that
        # is stored still and not young is worth a refresh.
        newest = self._stored(call)
        if newest.token == session.token:
            age = self._clock() - session.token.obtained_at
            if abs(age) <= REFUSED_AGE or not can_refresh(session):
                raise TokenRefusedError(shown(session.api_url))
            newest = self._renew(call, session)
        config = client.get_config(
            newest.api_url, newest.token.access_token, call.deadline, known=known
        )
        if not config.authorized:
            raise TokenRefusedError(shown(session.api_url))
        return newest, config

    def _renew(self, call: _Call, held: Session, *, early: bool = False) -> Session:
        from ._refresh import renew

        left = call.deadline.remaining()
        with self._noticing_logout(call):
            session = renew(
                self._storage,
                self._client(),
                self._clock,
                held,
                doing=call.doing,
                deadline=Deadline(min(EARLY_TIMEOUT, left)) if early else call.deadline,
                early=early,
            )
        self._adopt(call, session)
        return session

    def _renew_early(self, call: _Call, session: Session) -> Session:
        try:
            return self._renew(call, session, early=True)
        except (NotLoggedInError, LoginChangedError):
            raise
        except ConfigError as error:
            session = self._still_valid(session, error)
            self._adopt(call, session)
            return session

    def _still_valid(self, session: Session, error: ConfigError) -> Session:
        from ._refresh import failure_after, logger

        logger.warning("The token is still valid; refreshing it failed: %s", error)
        # In memory too: the disk may be what failed.
        failure = failure_after(session, self._clock(), error)
        return attr.evolve(session, refresh_failure=failure)


Config = ConfigStore  # its name in the reference


def _with_failure_of(session: Session, newest: Session) -> Session:
    """Keep a failed refresh that the disk did not take, while its token is there."""
    if newest.token != session.token or newest.refresh_failure is not None:
        return newest
    return attr.evolve(newest, refresh_failure=session.refresh_failure)


def _auth_to_keep(
    session: Session, named: Optional[AuthConfig]
) -> Optional[AuthConfig]:
    """Let a refresh token go to no other server than the one that gave it."""
    from ._guard import is_same_origin, shown
    from ._refresh import logger

    given_by = session.auth
    if named is None or given_by is None or session.token.refresh_token is None:
        return named
    if is_same_origin(named.token_url, given_by.token_url):
        return named
    logger.warning(
        "The platform names another authorization server, %s. This login goes on with "
        "the one that it comes from, %s; a new login uses the new one.",
        shown(named.token_url),
        shown(given_by.token_url),
    )
    return given_by


def _api_url(url: Union[str, URL, None]) -> str:
    from ._guard import require_bare

    api_url = str(DEFAULT_API_URL if url is None else url).rstrip("/")
    require_bare(api_url)
    return api_url


def _require_no_override(local: LocalChoice, field: str) -> None:
    if local.error is not None:
        raise local.error
    name = getattr(local.choice, field)
    if name is not None:
        key = f"job.{field.replace('_', '-')}"
        raise SwitchOverriddenError(key, name, str(local.path))


def _require_effect(
    local: LocalChoice, catalog: Catalog, choice: Choice, field: str
) -> None:
    """Refuse a switch whose effect other names of the local file take away."""
    from ._choice import effective

    hint = f"It is named in {local.path}: mend that line."
    shown = effective(catalog, choice, local.choice, hint)
    if getattr(shown, field) != getattr(choice, field):
        _require_no_override(local, "org_name")
        _require_no_override(local, "cluster_name")


# Alive in this process, for its forked children.
_stores: weakref.WeakSet[ConfigStore] = weakref.WeakSet()


def _drop_inherited() -> None:
    for store in list(_stores):
        # Who held them does not exist in a child.
        store._rebinding = threading.RLock()
        store._showing = threading.Lock()


os.register_at_fork(after_in_child=_drop_inherited)
