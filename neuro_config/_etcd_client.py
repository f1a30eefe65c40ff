"""What is asked of an etcd cluster: which member, as whom, for how long, and its errors.

Every call ends at its deadline. One member is asked at a time, each for a part of the
time only, and on any failure the next: a member that is frozen takes connections and
never answers. What may be repeated is; after anything else there is
``OutcomeUnknown``, and the caller has to look. The errors of the network, of etcd3gw
and of etcd are translated here and nowhere else.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import random
import time
from errno import EACCES, ENOSPC
from typing import Any, Dict, List, Mapping, NoReturn, Optional

import urllib3.exceptions

from ._deadline import Deadline
from ._errors import (
    NetworkError,
    StorageError,
    StorageReadError,
    StorageUnavailableError,
    StorageURLError,
    StorageWriteError,
)
from ._etcd_clock import Times
from ._etcd_http import EtcdSession
from ._etcd_keys import Payload, Stored, key_values, text_of
from ._etcd_url import Endpoint, EtcdURL
from ._guard import without, words
from ._http import cause_of, within
from ._session import Secret
from ._storage import Clock

PASSWORD = "NEUROMATION_CONFIG_PASSWORD"  # noqa: S105 (the variable's name)
PASSWORD_LIMIT = 1 << 12  # bytes
ATTEMPT = 2.0  # seconds that one member has to answer, more in each further round
LONGEST_PAUSE = 0.5  # seconds between two tries

# gRPC's codes (https://grpc.io/docs/guides/status-codes/) after which nothing happened.
INVALID_ARGUMENT, NOT_FOUND, DENIED, EXHAUSTED, UNAUTHENTICATED = 3, 5, 7, 8, 16
_DEFINITE = {INVALID_ARGUMENT, NOT_FOUND, DENIED, EXHAUSTED, 9, 11, 12, UNAUTHENTICATED}

# What stays as it is, however often one asks.
_HOPELESS = ("SSLCertVerificationError", "OSError (Could not find")


class OutcomeUnknown(Exception):
    """A request was sent and may have been worked on."""


class LeaseGone(Exception):
    """The lease has ended."""


class _Failed(Exception):
    """One member did not answer, or not usably; another may."""


class _Refused(Exception):
    """The cluster said no."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class EtcdClient:
    """Asks a cluster; threads may share it, and a forked child goes on with its own.

    Args:
        url: Where it is.

    Raises:
        StorageURLError: etcd3gw is not installed.
    """

    def __init__(self, url: EtcdURL) -> None:
        self.url = url
        self.location = url.location
        self._made_for = 0  # the process
        self._session: Optional[EtcdSession] = None
        self._first = 0  # the endpoint that answered last
        self._token: Optional[str] = None
        self._times = Times()
        try:
            self._etcd3gw: Any = importlib.import_module("etcd3gw.client")
            self._errors: Any = importlib.import_module("etcd3gw.exceptions")
        except ImportError as error:
            raise StorageURLError(
                self.location,
                f"needs a package that is missing ({error.name}): "
                "pip install 'neuro_config[etcd]' (Python 3.10 or newer).",
            ) from None

    def shared_clock(self, clock: Clock) -> Clock:
        """Return a clock that agrees with that of the member that answered last."""
        return self._times.shared(clock)

    # ------------------------------------------------------------------ requests

    def range(
        self, first: bytes, end: bytes, deadline: Deadline, **options: Any
    ) -> Dict[bytes, Stored]:
        """Read the newest values of the keys from ``first`` up to before ``end``."""
        payload = {"key": text_of(first), "range_end": text_of(end), **options}
        found = None
        with contextlib.suppress(ValueError):
            found = key_values(self.ask("kv/range", payload, deadline))
        if found is None:  # raised out here, away from what holds the answer
            raise StorageReadError(
                self.location, "cannot be read: what answers is no etcd."
            )
        return found

    def transact(
        self,
        compare: List[Payload],
        success: List[Payload],
        deadline: Deadline,
        *,
        repeat: bool = False,
    ) -> bool:
        """Do all of ``success`` if all of ``compare`` hold, else nothing.

        Args:
            compare: As etcd's ``Compare``.
            success: As etcd's ``RequestOp``.
            deadline: Of the whole call.
            repeat: Whether it may be done twice.

        Returns:
            Whether it was done.

        Raises:
            OutcomeUnknown: It may have been done.
            LeaseGone: A lease in it has ended.
            StorageError: It was not done.
        """
        payload = {"compare": compare, "success": success}
        answer = self.ask("kv/txn", payload, deadline, repeat=repeat, writes=True)
        return answer.get("succeeded") is True

    def ask(
        self,
        path: str,
        payload: Payload,
        deadline: Deadline,
        *,
        repeat: bool = True,
        writes: bool = False,
    ) -> Dict[str, Any]:
        """Ask the cluster, one member after the other, until the deadline.

        Args:
            path: Of the call, ``kv/range`` for example.
            payload: As JSON.
            deadline: Of the whole call.
            repeat: Whether it may be repeated; else it is tried once.
            writes: Whether it changes something, for errors.

        Raises:
            OutcomeUnknown: It may not be repeated, and may have been worked on.
            LeaseGone: The lease has ended.
            StorageUnavailableError: No member answers.
            StorageReadError, StorageWriteError: The cluster refuses.
        """
        failures: Dict[str, str] = {}
        endpoints = self.url.endpoints
        tries = 0
        while True:
            number = self._first % len(endpoints)
            endpoint = endpoints[number]
            rounds = 1 + tries // len(endpoints)
            left = deadline.remaining()
            try:
                return self._asked(
                    endpoint, path, payload, Deadline(min(ATTEMPT * rounds, left))
                )
            except _Refused as refused:
                self._raise_refusal(refused, writes)
            except _Failed as failed:
                # What a try says that had little time counts where nothing better does.
                told = {} if left >= ATTEMPT else failures
                failures[str(endpoint)] = told.get(str(endpoint), str(failed))
            self._first = number + 1  # whoever asks next begins with the next one
            tries += 1
            if not repeat:
                raise OutcomeUnknown(_listed(failures))
            is_hopeless = all(
                failures.get(str(one), "").startswith(_HOPELESS) for one in endpoints
            )
            if is_hopeless or not deadline.remaining():
                raise self.unavailable(_listed(failures), deadline)
            if tries % len(endpoints) == 0:
                pause = min(0.02 * 2**rounds, LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311
                time.sleep(min(pause, deadline.remaining()))

    def ask_member(
        self, endpoint: Endpoint, path: str, deadline: Deadline
    ) -> Dict[str, Any]:
        """Ask one member, once.

        Raises:
            StorageError: It does not answer, or refuses.
        """
        try:
            return self._asked(endpoint, path, {}, deadline)
        except _Refused as refused:
            self._raise_refusal(refused, writes=False)
        except _Failed as failed:
            reason = str(failed)
        raise StorageUnavailableError(str(endpoint), f"{reason}.")

    def unavailable(self, why: str, deadline: Deadline) -> StorageUnavailableError:
        """Make the error that says what is away."""
        return StorageUnavailableError(
            self.location,
            f"etcd does not answer within {deadline.seconds:.3g} s: {why}. It needs a "
            "majority of its members: see which of them run and can be reached.",
        )

    # ----------------------------------------------------------------- machinery

    def _asked(
        self, endpoint: Endpoint, path: str, payload: Payload, deadline: Deadline
    ) -> Dict[str, Any]:
        if self.url.user is None:
            return self._post(endpoint, path, payload, deadline, None)
        token = self._token
        if token is not None:
            try:
                return self._post(endpoint, path, payload, deadline, token)
            except _Refused as refused:
                if not _is_about_token(refused):
                    raise
        self._token = token = self._log_in(endpoint, deadline)
        return self._post(endpoint, path, payload, deadline, token)

    def _log_in(self, endpoint: Endpoint, deadline: Deadline) -> str:
        password = self._password()
        payload = {"name": self.url.user, "password": password}
        try:
            answer = self._post(endpoint, "auth/authenticate", payload, deadline, None)
        except _Refused as refused:
            if "not enabled" in refused.message:
                return ""  # who asks for no user needs none
            said = without(refused.message, password)
            raise _Refused(DENIED, f"the login as {self.url.user!r}: {said}") from None
        token = answer.get("token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise _Failed("gave no usable token")
        return Secret(token)

    def _password(self) -> str:
        path = self.url.password_file
        text = os.environ.get(PASSWORD)
        if path is not None:
            try:
                with open(os.path.expanduser(path), "rb") as file:
                    text = file.read(PASSWORD_LIMIT).decode().rstrip("\r\n")
            except (OSError, ValueError) as error:
                raise StorageURLError(
                    self.location, f"the password file {path}: {cause_of(error)}."
                ) from None
        if not text:
            raise StorageURLError(
                self.location,
                f"the user {self.url.user!r} has no password here: set {PASSWORD} or "
                "name a file in the URL, ?password_file=...",
            )
        return Secret(text)

    def _post(
        self,
        endpoint: Endpoint,
        path: str,
        payload: Payload,
        deadline: Deadline,
        token: Optional[str],
    ) -> Dict[str, Any]:
        seconds = max(deadline.remaining(), 0.001)
        client = self._etcd3gw.Etcd3Client(
            host=endpoint.host,
            port=endpoint.port,
            protocol="https" if self.url.is_secure else "http",
            timeout=seconds,
            api_path="/v3/",
            session=self._own_session(),
        )
        headers = {"Authorization": token} if token else {}
        post = functools.partial(
            client.post, client.get_url(path), json=dict(payload), headers=headers
        )
        try:
            answer = within(deadline, post, str(endpoint))
        except self._errors.Etcd3Exception as error:
            raise _failure_of(error) from None
        except NetworkError as error:
            raise _Failed(error.reason.partition(". ")[0]) from None
        except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
            raise _Failed(cause_of(error)) from None
        if not isinstance(answer, dict):
            raise _Failed("answered no JSON object")
        return answer

    def _own_session(self) -> EtcdSession:
        pid = os.getpid()
        session = self._session
        if session is None or self._made_for != pid:
            if session is not None:
                session.close()  # a connection belongs to the process that made it
            session = EtcdSession(self.url, self._times)
            self._session, self._made_for = session, pid
        return session

    def _raise_refusal(self, refused: _Refused, writes: bool) -> NoReturn:
        code, message = refused.code, refused.message
        if code == NOT_FOUND and "lease" in message:
            raise LeaseGone
        raise _error_of(self.location, code, message, writes) from None


def _failure_of(error: Any) -> Exception:
    """Tell what an error of etcd3gw means."""
    try:
        said = json.loads(error.detail_text)
        code, message = said["code"], said.get("message") or said["error"]
    except (TypeError, ValueError, KeyError, RecursionError):
        if error.args:  # an HTTP status without etcd's words
            return _Failed(words(f"answered {error.args[0]}"))
        return _Failed(cause_of(error))
    message = words(str(message).replace("etcdserver: ", ""))
    if code in _DEFINITE and "too many requests" not in message:
        return _Refused(code, message)
    return _Failed(message)


def _is_about_token(refused: _Refused) -> bool:
    return (
        refused.code == UNAUTHENTICATED
        or "auth store is old" in refused.message
        or "user name is empty" in refused.message
    )


def _error_of(location: str, code: int, message: str, writes: bool) -> StorageError:
    if code == EXHAUSTED and "space" in message:
        return StorageWriteError(
            location,
            "nothing was changed: etcd's quota is used up. Compact and defragment it, "
            "then disarm the alarm; and start it with --auto-compaction-retention.",
            ENOSPC,
        )
    is_denied = code in (DENIED, UNAUTHENTICATED) or "user name is empty" in message
    advice = "Check the user, the password and the role." if is_denied else ""
    text = f"{message}. {advice}".strip()
    if writes:
        return StorageWriteError(
            location, f"nothing was changed: {text}", EACCES if is_denied else None
        )
    return StorageReadError(location, f"cannot be read: {text}")


def _listed(failures: Mapping[str, str]) -> str:
    return "; ".join(f"{endpoint}: {why}" for endpoint, why in failures.items())
