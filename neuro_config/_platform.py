"""The platform's two endpoints over HTTP: ``GET /config`` and the token endpoint.

Network errors are translated here and nowhere else, and sorted by what a caller must
know: ``ConnectionFailedError`` says that nothing was sent, ``AuthError`` that the
authorization server refused; after any other error a request may have been worked on.

Reading the configuration is repeated on 502, 503, 504 and broken connections. What is
sent to the token endpoint can be spent once, so it leaves in a ``_Form``, which is
given out once at most: nothing repeats it, whatever the adapters of the caller do, and
who still holds it knows that it was not sent.

No redirect is followed, so a secret goes where it was sent to and nowhere else.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import json
import os
import queue
import threading
import time
import weakref
import zlib
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    NoReturn,
    Optional,
    Tuple,
    TypeVar,
    Union,
)
from urllib.parse import quote, urlencode

import requests
import urllib3
import urllib3.exceptions
from urllib3.util import parse_url

from ._errors import (
    AuthError,
    ConnectionFailedError,
    InsecureURLError,
    InvalidTokenError,
    MalformedAnswerError,
    NetworkError,
    PlatformError,
    RequestTimeoutError,
    SessionEndedError,
)
from ._payload import ServerConfig, parse_config
from ._session import AuthConfig
from ._version import __version__

USER_AGENT = f"neuro_config/{__version__} {requests.utils.default_user_agent()}"
CONFIG_LIMIT = 1 << 26  # bytes; 200 clusters x 60 presets are 4.5 MB
TOKEN_LIMIT = 1 << 18  # bytes
PIECE = 1 << 16  # bytes
LONGEST = 86400.0  # seconds of a deadline; the system's timers overflow

T = TypeVar("T")

# Where the server says that it did not do what was asked, whatever the body says.
_REFUSALS = range(300, 500)
_REQUEST_TIMEOUT = 408

_RETRIES = {
    "GET": urllib3.Retry(total=4, status_forcelist=(502, 503, 504), backoff_factor=0.2),
    # Without a pause: while one process tries to refresh, others wait.
    "POST": urllib3.Retry(total=1),
}

# Of a form; what the server says about it may repeat them.
_SECRETS = ("refresh_token", "code", "code_verifier")


class Deadline:
    """A point in time by which a whole call has to end.

    Args:
        seconds: From now.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = min(seconds, LONGEST)
        self._end = time.monotonic() + self.seconds

    def remaining(self) -> float:
        """Return the seconds that are left, never less than 0."""
        return max(0.0, self._end - time.monotonic())


class _Answer(NamedTuple):
    status: int
    body: bytes


class _Form:
    """What goes to the token endpoint; given out once, or withdrawn, never both."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._body = urlencode(fields).encode()
        self._ticket = threading.Lock()

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes]:
        # Called when there is a connection, after the request's headers are sent.
        if not self.withdraw():
            raise ValueError("the form has been given out or withdrawn")
        yield self._body

    def withdraw(self) -> bool:
        """Return whether it was not given out; then it never will be."""
        return self._ticket.acquire(blocking=False)


class PlatformClient:
    """Asks the platform, over a ``requests.Session`` of the caller's or one per call.

    Args:
        http: A session with the caller's own adapters, certificates and proxies; its
            headers are left alone. Without one each call has a session of its own, so
            threads and forks share no connection.
    """

    def __init__(self, http: Optional[requests.Session] = None) -> None:
        self._http = http

    def get_config(
        self, api_url: str, token: Optional[str], deadline: Deadline
    ) -> ServerConfig:
        """Ask the platform what there is.

        Args:
            api_url: The platform, ``https://.../api/v1``.
            token: Whose view; without one only the login's parameters come back.
            deadline: Of the whole call.

        Returns:
            The answer, which may say ``authorized: false``.

        Raises:
            InvalidTokenError: No header can carry the token; nothing was sent.
            NetworkError: One of its branches, all within the deadline.
        """
        url = api_url.rstrip("/") + "/config"
        authorization = None if token is None else bearer(token)
        status, body = self._request(
            "GET", url, deadline, CONFIG_LIMIT, authorization=authorization
        )
        url = shown(url)
        with contextlib.suppress(PlatformError):
            return parse_config(body, url=url, status=status)
        # Once more for the error: it quotes the body, which may repeat the token.
        said = _without(body.decode(errors="replace"), token or "")
        return parse_config(said.encode(), url=url, status=status)

    def refresh(
        self, auth: AuthConfig, refresh_token: str, deadline: Deadline
    ) -> Mapping[str, Any]:
        """Spend a refresh token (RFC 6749, 6).

        Args:
            auth: Names the endpoint and the client.
            refresh_token: Is spent, unless ``ConnectionFailedError`` or ``AuthError``
                says otherwise.
            deadline: Of the whole call.

        Returns:
            As ``ask_for_token``.

        Raises:
            As ``ask_for_token``.
        """
        fields = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": auth.client_id,
        }
        return self.ask_for_token(auth.token_url, fields, deadline)

    def ask_for_token(
        self, url: str, fields: Mapping[str, str], deadline: Deadline
    ) -> Mapping[str, Any]:
        """Send a grant to the token endpoint, once at most.

        Args:
            url: The endpoint.
            fields: Of the form.
            deadline: Of the whole call.

        Returns:
            The answer; its ``access_token`` is a usable string, and ``refresh_token``
            is one or absent.

        Raises:
            ConnectionFailedError: Nothing was sent, and nothing will be.
            InsecureURLError: The same, because of the URL.
            AuthError: The server refused; ``SessionEndedError`` for ``invalid_grant``.
            NetworkError: The grant may have been spent, and the answer is not known.
        """
        status, body = self._request("POST", url, deadline, TOKEN_LIMIT, fields=fields)
        secrets = [fields[name] for name in _SECRETS if name in fields]
        return parse_token_answer(url, status, body, secrets)

    def _request(
        self,
        method: str,
        url: str,
        deadline: Deadline,
        limit: int,
        *,
        authorization: Optional[str] = None,
        fields: Optional[Mapping[str, str]] = None,
    ) -> _Answer:
        is_loopback = require_secure(url)

        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            # An auth even without a token: else requests takes one from ~/.netrc.
            request.headers.pop("Authorization", None)
            if authorization is not None:
                request.headers["Authorization"] = authorization
            return request

        def send(form: Optional[_Form]) -> _Answer:
            # urllib3 takes no timeout of 0.
            left = max(deadline.remaining(), 0.001)
            with self._session() as http, http.request(
                method,
                url,
                data=form,
                headers=_HEADERS if form is None else {**_HEADERS, **_FORM_HEADERS},
                auth=authorize,
                timeout=(left / 2, left),  # which leaves time for another connection
                proxies=_no_proxies(url) if is_loopback else None,
                allow_redirects=False,
                stream=True,
            ) as answer:
                return _Answer(answer.status_code, _body(answer, limit, deadline))

        retry = _RETRIES[method]
        while True:
            form = None if fields is None else _Form(fields)
            outcome: Union[_Answer, NetworkError]
            try:
                outcome = within(deadline, functools.partial(send, form), url)
                is_passing = retry.is_retry(method, outcome.status)
            except _FAILURES as error:
                is_unsent = None if form is None else form.withdraw()
                outcome = _translated(error, url, deadline, is_unsent=is_unsent)
                is_passing = _is_passing(error) and is_unsent is not False
            finally:
                if form is not None:
                    form.withdraw()  # the thread may live on after Ctrl-C
            following = _after_pause(retry, deadline) if is_passing else None
            if following is not None:
                retry = following
            elif isinstance(outcome, NetworkError):
                raise outcome  # out here, without a context in which secrets may be
            else:
                return outcome

    @contextlib.contextmanager
    def _session(self) -> Iterator[requests.Session]:
        if self._http is None:
            with requests.Session() as http:
                yield http
            return
        pid = os.getpid()
        if _users.setdefault(self._http, pid) != pid:
            # A connection belongs to the process that made it.
            self._http.close()
            _users[self._http] = pid
        yield self._http


# The process that last used a session of a caller's.
_users: weakref.WeakKeyDictionary[requests.Session, int] = weakref.WeakKeyDictionary()

_HEADERS = {
    "User-Agent": USER_AGENT,
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
}
_FORM_HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}


def _no_proxies(url: str) -> Any:
    """Shut out the proxies of the environment and of the session.

    A proxy is not this machine: it would see what is sent in the clear.
    """
    _, host = _scheme_and_host(url)
    schemes = ("http", "https", "all")
    return dict.fromkeys([*schemes, *(f"{scheme}://{host}" for scheme in schemes)])


def _after_pause(retry: urllib3.Retry, deadline: Deadline) -> Optional[urllib3.Retry]:
    """Wait for another try; ``None`` if there is none, or no time for it."""
    try:
        following = retry.increment()
    except urllib3.exceptions.MaxRetryError:
        return None
    pause = following.get_backoff_time()
    if pause >= deadline.remaining():
        return None
    time.sleep(pause)
    return following


def require_secure(url: str) -> bool:
    """Refuse a URL that would carry a secret in the clear.

    Args:
        url: Where a secret is about to go.

    Returns:
        Whether it leads to this very machine.

    Raises:
        InsecureURLError: Neither https nor plain http to loopback.
    """
    scheme, host = _scheme_and_host(url)
    is_loopback = host == "localhost" or _is_loopback_address(host)
    if not host:
        raise InsecureURLError(shown(url), "is no URL.")
    if not (scheme == "https" or (scheme == "http" and is_loopback)):
        raise InsecureURLError(
            shown(url), "must be https; plain http is for this machine only."
        )
    return is_loopback


def _scheme_and_host(url: str) -> Tuple[str, str]:
    # By the parser of the library that connects: another one may see another host.
    with contextlib.suppress(ValueError):
        parts = parse_url(url)
        return parts.scheme or "", (parts.host or "").strip("[]")
    return "", ""


def _is_loopback_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def shown(url: str) -> str:
    """Return a URL without its user part, query and fragment, which may hold secrets."""
    head, _, _ = url.partition("?")
    head, _, _ = head.partition("#")
    scheme, separator, rest = head.partition("://")
    if not separator:
        return _words(head.rpartition("@")[2])
    authority, slash, path = rest.partition("/")
    return _words(scheme + separator + authority.rpartition("@")[2] + slash + path)


def within(deadline: Deadline, call: Callable[[], T], url: str) -> T:
    """Run a call in a thread of its own and wait for it until the deadline.

    The timeouts of requests bound each read, not the whole, and nothing bounds a name
    look-up. The thread of a call that comes too late lives on until the server falls
    silent or closes; it ends with the process.

    Raises:
        RequestTimeoutError: The deadline passed.
    """
    outcome: queue.SimpleQueue[Callable[[], T]] = queue.SimpleQueue()

    def run() -> None:
        try:
            value = call()
        except BaseException as error:  # carried over to the caller's thread
            outcome.put(functools.partial(_raise, error))
        else:
            outcome.put(lambda: value)

    if not deadline.remaining():
        raise _too_late(url, deadline)
    thread = threading.Thread(target=run, name="neuro_config-request", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # too many of them, or the interpreter is about to end
        raise OSError("the system starts no thread") from None
    try:
        result = outcome.get(timeout=deadline.remaining())
    except queue.Empty:
        raise _too_late(url, deadline) from None
    return result()


def _raise(error: BaseException) -> NoReturn:
    raise error


def _body(answer: requests.Response, limit: int, deadline: Deadline) -> bytes:
    """Read a body piece by piece; requests' own reading bounds no unpacking."""

    def unusable(reason: str) -> MalformedAnswerError:
        return MalformedAnswerError(
            shown(answer.url), reason, status=answer.status_code
        )

    coding = answer.headers.get("Content-Encoding", "identity").lower()
    if coding not in ("identity", "gzip"):
        raise unusable("has a Content-Encoding that was not asked for.")
    unzip = zlib.decompressobj(31) if coding == "gzip" else None
    body = bytearray()
    while unzip is None or not unzip.eof:
        piece = answer.raw.read(PIECE, decode_content=False)
        if not piece:
            break
        if unzip is not None:
            try:
                piece = unzip.decompress(piece, limit + 1 - len(body))
            except zlib.error:
                raise unusable("is no gzip.") from None
        body += piece
        if len(body) > limit:
            raise unusable(f"is longer than {limit >> 10} KiB.")
        if not deadline.remaining():
            raise _too_late(answer.url, deadline)
    if unzip is not None and not unzip.eof:
        raise unusable("ends too early.")
    return bytes(body)


def _too_late(url: str, deadline: Deadline) -> RequestTimeoutError:
    return RequestTimeoutError(
        shown(url), f"no whole answer within {deadline.seconds:g} s. Try again later."
    )


# All that requests, urllib3 and the system raise, and the deadline.
_FAILURES = (OSError, ValueError, urllib3.exceptions.HTTPError, RequestTimeoutError)

_UNFIT = (requests.exceptions.SSLError, requests.exceptions.ProxyError)
_PASSING = (requests.ConnectionError, urllib3.exceptions.ProtocolError)
_TIMEOUTS = (requests.Timeout, urllib3.exceptions.TimeoutError, RequestTimeoutError)


def _is_passing(error: BaseException) -> bool:
    """Tell whether another try is worth it; a certificate or proxy stays as it is."""
    return isinstance(error, _PASSING) and not isinstance(error, _UNFIT)


def _translated(
    error: BaseException, url: str, deadline: Deadline, *, is_unsent: Optional[bool]
) -> NetworkError:
    """Make a failure our own, and keep nothing of it that may hold a secret.

    Args:
        is_unsent: A form was to be sent and was not; ``None`` where there is no form,
            so that only the kind of the failure can tell.
    """
    causes = _causes(error)
    why = _why(causes[-1])
    if is_unsent is None:
        is_unsent = _is_before_sending(error, causes)
    if is_unsent:
        if isinstance(error, _TIMEOUTS):
            why = "no connection in time"
        hint = "Check the network and the settings of proxies."
        if isinstance(error, requests.exceptions.SSLError):
            hint = (
                "If the network has a certificate authority of its own, name the file "
                "of its certificates in REQUESTS_CA_BUNDLE."
            )
        return ConnectionFailedError(shown(url), f"cannot be reached: {why}. {hint}")
    if isinstance(error, _TIMEOUTS):
        return _too_late(url, deadline)
    return NetworkError(shown(url), f"the connection broke: {why}. Try again later.")


def _is_before_sending(error: BaseException, causes: List[BaseException]) -> bool:
    # A ValueError is about the URL or a header.
    return isinstance(error, (ValueError, *_UNFIT)) or any(
        isinstance(cause, urllib3.exceptions.ConnectTimeoutError) for cause in causes
    )


def _causes(error: BaseException) -> List[BaseException]:
    """Return the error and what is wrapped in it; the last is the root."""
    causes: List[BaseException] = []
    cause: Optional[BaseException] = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        inner = (
            getattr(cause, "reason", None),
            *reversed(cause.args),
            cause.__cause__,
            None if cause.__suppress_context__ else cause.__context__,
        )
        cause = next((one for one in inner if isinstance(one, BaseException)), None)
    return causes


def _why(error: BaseException) -> str:
    """Name the kind of an error: its text may hold a URL with secrets."""
    words = getattr(error, "verify_message", None) or getattr(error, "strerror", None)
    if type(error) is OSError and words is None:
        words = str(error)  # of requests about files and of http.client about proxies
    said = f" ({_words(words)})" if words else ""
    return f"{type(error).__name__}{said}"


def parse_token_answer(
    url: str, status: int, body: bytes, secrets: Iterable[str] = ()
) -> Dict[str, Any]:
    """Read the token endpoint's answer (RFC 6749, 5.1 and 5.2).

    Args:
        url: Who answered.
        status: HTTP status.
        body: At most 256 KiB.
        secrets: What was sent; an error does not repeat it.

    Returns:
        The fields, ``access_token`` proven usable, ``refresh_token`` usable or absent.

    Raises:
        AuthError: A refusal, by OAuth's words or by the HTTP status.
        PlatformError: Anything else; the request may have been worked on.
    """
    url = shown(url)
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if status in _REFUSALS and status != _REQUEST_TIMEOUT:
        raise _refusal(status, answer if isinstance(answer, dict) else {}, secrets)
    if status != 200:
        raise PlatformError(
            url, f"answered with HTTP status {status}. Try again later.", status
        )
    if not isinstance(answer, dict):
        raise MalformedAnswerError(url, "is no JSON object.", status=status)
    require_usable(answer.get("access_token"), url, "access_token")
    if answer.get("refresh_token") in (None, ""):
        answer.pop("refresh_token", None)
    else:
        require_usable(answer["refresh_token"], url, "refresh_token")
    return answer


def _refusal(
    status: int, fields: Mapping[str, object], secrets: Iterable[str]
) -> AuthError:
    code = fields.get("error")
    said = fields.get("error_description")
    description = _words(_without(said, *secrets)) if isinstance(said, str) else ""
    if code == "invalid_grant":
        return SessionEndedError(code, description)
    if isinstance(code, str) and code:
        return AuthError(_words(_without(code, *secrets)), description)
    return AuthError(
        f"http_{status}",
        description or "it does not say why; try again later, or log in again",
    )


def bearer(token: str) -> str:
    """Return the ``Authorization`` header of a token.

    Raises:
        InvalidTokenError: No header can carry it.
    """
    if not is_token(token):
        raise InvalidTokenError(
            "The token is not usable: it is not visible ASCII. Log in again."
        )
    return f"Bearer {token}"


def require_usable(token: object, url: str, where: str) -> str:
    """Require a token that an HTTP header and a form can carry.

    Raises:
        MalformedAnswerError: It is no such text.
    """
    if not is_token(token):
        raise MalformedAnswerError(url, "is no token.", where)
    return str(token)


def is_token(text: object) -> bool:
    """Tell whether something is a token: visible ASCII (RFC 6749, appendix A)."""
    return (
        isinstance(text, str)
        and 0 < len(text) <= TOKEN_LIMIT
        and all("!" <= letter <= "~" for letter in text)
    )


def _without(text: str, *secrets: str) -> str:
    """Return a text with secrets blotted out, as they are and as URLs and JSON do."""
    for secret in filter(None, secrets):
        for form in (
            secret,
            quote(secret, safe=""),
            json.dumps(secret)[1:-1],
            secret.replace("/", "\\/"),
        ):
            text = text.replace(form, "***")
    return text


def _words(text: str) -> str:
    """Return what somebody says, short and on one line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:300]
