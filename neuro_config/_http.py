"""One HTTP request within a deadline, its failures told apart.

Network errors are translated here and nowhere else. ``ConnectionFailedError`` says
that nothing was sent; after any other error a request may have been worked on.

What can be spent once leaves in a ``_Form``, which is given out once at most: nothing
repeats it, whatever the adapters of the caller do, and who still holds it knows that it
was not sent. No redirect is followed, so a secret goes where it was sent to and nowhere
else.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import queue
import threading
import time
import weakref
import zlib
from typing import (
    Any,
    Callable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    NoReturn,
    Optional,
    TypeVar,
    Union,
)
from urllib.parse import urlencode

import requests
import urllib3
import urllib3.exceptions

from ._deadline import Deadline
from ._errors import (
    ConnectionFailedError,
    MalformedAnswerError,
    NetworkError,
    RequestTimeoutError,
)
from ._guard import require_secure, scheme_and_host, shown, words
from ._session import SecretBytes
from ._version import __version__

USER_AGENT = f"neuro_config/{__version__} {requests.utils.default_user_agent()}"
PIECE = 1 << 16  # bytes
FROZEN = 0.25  # seconds that a wait has overslept in a process that was frozen
FROZEN_GRACE = 0.5  # seconds for what came meanwhile

T = TypeVar("T")

_RETRIES = {
    "GET": urllib3.Retry(total=4, status_forcelist=(502, 503, 504), backoff_factor=0.2),
    # Without a pause: while one process tries to refresh, others wait.
    "POST": urllib3.Retry(total=1),
}


class Answer(NamedTuple):
    status: int
    body: bytes


class _Form:
    """What goes to the token endpoint; given out once, or withdrawn, never both."""

    def __init__(self, fields: Mapping[str, str], deadline: Deadline) -> None:
        self._body = urlencode(fields).encode()
        self._deadline = deadline
        self._ticket = threading.Lock()

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes]:
        # Called when there is a connection, after the request's headers are sent.
        # A process that was frozen before this must not send what others send by now.
        if not self._deadline.remaining() or not self.withdraw():
            raise ValueError("the form is too late, or was given out or withdrawn")
        yield self._body

    def withdraw(self) -> bool:
        """Return whether it was not given out; then it never will be."""
        return self._ticket.acquire(blocking=False)


class Http:
    """Sends requests over a ``requests.Session`` of the caller's or one per call.

    Args:
        http: A session with the caller's own adapters, certificates and proxies; its
            headers are left alone. Without one each call has a session of its own, so
            threads and forks share no connection.
    """

    def __init__(self, http: Optional[requests.Session] = None) -> None:
        self._http = http

    def request(
        self,
        method: str,
        url: str,
        deadline: Deadline,
        limit: int,
        *,
        authorization: Optional[str] = None,
        fields: Optional[Mapping[str, str]] = None,
    ) -> Answer:
        """Send a request, and repeat it where that is safe and promising.

        Args:
            method: ``GET``, or ``POST`` with ``fields``.
            url: https, or plain http to this machine.
            deadline: Of the whole call.
            limit: Bytes that the answer's body may have.
            authorization: The header, if any.
            fields: Of a form; they leave once at most.

        Returns:
            The answer of whatever status, redirects too.

        Raises:
            InsecureURLError: The URL would carry a secret in the clear.
            ConnectionFailedError: Nothing was sent, and nothing will be.
            NetworkError: It may have been worked on.
        """
        is_loopback = require_secure(url)

        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            # An auth even without a token: else requests takes one from ~/.netrc.
            request.headers.pop("Authorization", None)
            request.hooks["response"].append(_without_location)
            if authorization is not None:
                request.headers["Authorization"] = authorization
            return request

        def send(form: Optional[_Form]) -> Answer:
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
                return Answer(answer.status_code, _body(answer, limit, deadline))

        retry = _RETRIES[method]
        while True:
            form = None if fields is None else _Form(fields, deadline)
            outcome: Union[Answer, NetworkError]
            try:
                outcome = within(deadline, functools.partial(send, form), url)
                is_passing = retry.is_retry(method, outcome.status)
            except _FAILURES as error:
                is_unsent = None if form is None else form.withdraw()
                outcome = _translated(error, url, deadline, is_unsent=is_unsent)
                is_passing = _is_passing(error) and is_unsent is not False
            except MalformedAnswerError as error:
                # Made anew: the frames of the old one hold the body.
                outcome, is_passing = MalformedAnswerError(*error.args), False
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


def _without_location(answer: requests.Response, **options: Any) -> requests.Response:
    """Keep requests from preparing for a redirect, even for one that is not followed.

    It would read the whole body for that, however long, and trip over a broken URL.
    """
    answer.headers.pop("Location", None)
    return answer


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
    _, host = scheme_and_host(url)
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


def within(deadline: Deadline, call: Callable[[], T], url: str) -> T:
    """Run a call in a thread of its own and wait for it until the deadline.

    The timeouts of requests bound each read, not the whole, and nothing bounds a name
    look-up. The thread of a call that comes too late lives on until the server falls
    silent or closes; it ends with the process.

    Raises:
        RequestTimeoutError: The deadline passed.
    """
    outcome: queue.Queue[Callable[[], T]] = queue.Queue()

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
        # A process that was frozen while it waited may have the answer here already.
        grace = FROZEN_GRACE if deadline.overdue() > FROZEN else 0.0
        try:
            result = outcome.get(timeout=grace)
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
    # Not whole pieces: read takes a chunk that says its size is -1 for one without an
    # end, and waits for a slow piece beyond the deadline. An older urllib3 has no other.
    read = getattr(answer.raw, "read1", answer.raw.read)
    body, late = io.BytesIO(), 0  # which grows faster than a bytearray
    while unzip is None or not unzip.eof:
        piece = read(PIECE, decode_content=False)
        if not piece:
            break
        if unzip is not None:
            try:
                piece = unzip.decompress(piece, limit + 1 - body.tell())
            except zlib.error:
                raise unusable("is no gzip.") from None
        body.write(piece)
        if body.tell() > limit:
            raise unusable(f"is longer than {limit >> 10} KiB.")
        late += not deadline.remaining()
        if late > 1:  # one more piece: it may have come while the process was frozen
            raise _too_late(answer.url, deadline)
    if unzip is not None and not unzip.eof:
        raise unusable("ends too early.")
    return SecretBytes(body.getvalue())


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
    if any(isinstance(cause, urllib3.exceptions.InvalidHeader) for cause in causes):
        return False  # of the answer
    # Any other ValueError is about the URL or a header of ours.
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
    told = getattr(error, "verify_message", None) or getattr(error, "strerror", None)
    if type(error) is OSError and told is None:
        told = str(error)  # of requests about files and of http.client about proxies
    said = f" ({words(told)})" if told else ""
    return f"{type(error).__name__}{said}"


def cause_of(error: BaseException) -> str:
    """Name the root of what requests and its like have raised, without a secret."""
    return _why(_causes(error)[-1])
