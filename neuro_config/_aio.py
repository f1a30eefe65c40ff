"""What ``neuro_config.aio`` stands on: threads for what waits, and what a loop may see.

* Nothing that reads a file or waits for the network runs on the event loop. Methods run
  in threads; properties show a ``View``, whose catalog a thread has read into memory.
* A call that a thread has begun goes on, whatever becomes of the ``await``: what the
  authorization server answered is saved. One that no thread has begun is not done.
* Calls of ``token`` that wait for the same refresh share one thread, and have threads of
  their own: they never wait for a fetch, or for a person who logs in.
* What a loop sees changes on the loop's own thread: between two awaits nothing does.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import os
import pathlib  # noqa: F401
import threading
import weakref
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Awaitable,
    Callable,
    Coroutine,
    Dict,
    Generator,
    Generic,
    List,
    NamedTuple,
    NoReturn,
    Optional,
    Set,
    Type,
    TypeVar,
    Union,
    cast,
)

import attr
from yarl import URL

# What the properties need when they are first asked, pathlib included: an import reads
# files, too.
from . import _choice, _convert, _values, _wire  # noqa: F401
from ._catalog import Catalog
from ._deadline import LONGEST
from ._errors import ConfigError, StoreClosedError
from ._session import Secret, Session
from ._states import LoggedIn, at
from ._store import TIMEOUT, ConfigStore
from ._view import Binding, Snapshot, StoreView

if TYPE_CHECKING:
    from typing import Protocol

    class _Closable(Protocol):
        async def close(self) -> None: ...


CALLS = 8  # threads for methods, persons who log in included
TOKENS = 6  # threads for token(): three lanes of this login and of the one before
NAME = "neuro_config-aio"

T = TypeVar("T")
C = TypeVar("C", bound="_Closable")
S = TypeVar("S", bound="AsyncStore")

ShowBrowser = Callable[[URL], object]
GetAuthCode = Callable[[URL], Union[str, Awaitable[str]]]


# -------------------------------------------------------------- what a loop may see


@attr.define(eq=False, repr=False)
class View(StoreView):
    """What a store showed at one moment, with the catalog in memory."""

    _problem: Optional[ConfigError] = attr.field(default=None, init=False)

    @classmethod
    def of(cls, store: ConfigStore) -> View:
        """Read what the properties may need; belongs into a thread.

        Args:
            store: Whose snapshot. Its catalog is read if it has not been yet.

        Returns:
            The view. What could not be read is raised by the properties that need it.
        """
        view = cls(storage=store._storage, clock=store._clock)
        view._binding = Binding(store._binding.snapshot)
        session = view.snapshot.session
        if session is None:
            return view
        try:
            catalog = store._open(session, "a property")
            catalog.load()
        except ConfigError as error:
            view._problem = error
            return view
        view._opened = catalog
        # Parsed here rather than on the loop; what is wrong, the properties tell.
        with contextlib.suppress(ConfigError):
            _ = view.projects, view._cluster
        return view

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot that is shown."""
        return self._binding.snapshot

    def _open(self, session: Session, doing: str) -> Catalog:
        if self._problem is not None:
            raise self._problem.with_traceback(None)
        return cast(Catalog, self._opened)


# ---------------------------------------------------------------------- waiting


def hidden(text: T) -> T:
    """Return a secret that no traceback shows; what is no text is returned as it is."""
    return cast(T, Secret(text)) if isinstance(text, str) else text


async def wait_for(
    future: Future[Any], and_then: Callable[[], None] = lambda: None
) -> None:
    """Wait for a thread without any hold on it: whoever is cancelled just goes.

    Args:
        future: What the thread does.
        and_then: Called on the loop when it is done, even if nobody waits any more.
    """
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def wake() -> None:
        and_then()
        if not done.done():
            done.set_result(None)

    def notify(future: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(wake)

    future.add_done_callback(notify)
    await done


async def in_thread(call: Callable[[], T]) -> T:
    """Call in a thread that ends with the call.

    Args:
        call: Goes on if the one who waits is cancelled.
    """
    executor = ThreadPoolExecutor(1, NAME)
    future = executor.submit(contextvars.copy_context().run, call)
    executor.shutdown(wait=False)
    await wait_for(future)
    return future.result()


class Opening(Generic[C]):
    """What is opened by ``await``, or by ``async with``, which closes it.

    Nothing happens before that.

    Args:
        open: Opens it.
    """

    def __init__(self, open: Callable[[], Coroutine[Any, Any, C]]) -> None:
        self._open = open
        self._opened: List[C] = []

    def __await__(self) -> Generator[Any, None, C]:
        return self._open().__await__()

    async def __aenter__(self) -> C:
        opened = await self._open()
        self._opened.append(opened)
        return opened

    async def __aexit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self._opened.pop().close()


class Bridge(Generic[T]):
    """Lets a thread call what the user of a loop has given; a context manager.

    A plain function is called in the thread, so it may block. The coroutine of a
    coroutine function runs on the loop on which the bridge was made. When the block is
    left by an error or a cancellation, whoever waits on the bridge is sent away.

    Args:
        callback: ``None`` for none.
    """

    def __init__(
        self, callback: Optional[Callable[[URL], Union[T, Awaitable[T]]]]
    ) -> None:
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._started: List[Future[T]] = []
        self._starting = threading.Lock()
        self._over = threading.Event()

    def __enter__(self) -> Bridge[T]:
        return self

    def __exit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        with self._starting:
            self._over.set()
        if exc_type is not None:
            for future in self._started:
                future.cancel()

    def __call__(self, url: URL) -> T:
        """Call what was given, wherever it belongs."""
        self._require_wanted()
        callback = cast("Callable[[URL], Union[T, Awaitable[T]]]", self._callback)
        result = self._context.copy().run(callback, url)
        if inspect.isawaitable(result):
            return self._on_the_loop(result)
        return result

    @property
    def or_none(self) -> Optional[Bridge[T]]:
        """Itself, ``None`` if nothing was given."""
        return None if self._callback is None else self

    def until_over(self, url: URL) -> NoReturn:
        """Show a URL, then stay to end a login that nobody waits for any more.

        Without a callback it is the system's browser that shows the URL.

        Raises:
            concurrent.futures.CancelledError: It is over; who has logged in does not
                hear of that.
        """
        self._require_wanted()
        if self._callback is None:
            from ._login import open_browser

            open_browser(url)
        else:
            self(url)
        self._over.wait()
        raise CancelledError

    def _require_wanted(self) -> None:
        if self._over.is_set():
            raise CancelledError

    def _on_the_loop(self, awaitable: Awaitable[T]) -> T:
        async def run() -> T:
            return await awaitable

        with self._starting:
            if self._over.is_set():
                if inspect.iscoroutine(awaitable):
                    awaitable.close()  # else it is a warning that nobody awaited it
                raise CancelledError
            # From here on the future ends, by itself or when the block is left.
            future = self._context.copy().run(
                asyncio.run_coroutine_threadsafe, run(), self._loop
            )
            self._started.append(future)
        return future.result()


# --------------------------------------------------------------------- the store


class _Flight(NamedTuple):
    """One ``token()`` under way, and the login that it asks for."""

    binding: Binding
    future: Future[str]


class AsyncStore:
    """The part of ``AsyncConfigStore`` that is written by hand.

    Args:
        make: Opens the store; runs in a thread.
    """

    def __init__(self, make: Callable[[], ConfigStore]) -> None:
        self._make = make
        self._opened: Optional[ConfigStore] = None
        self._is_closed = False
        self._newest: Optional[View] = None  # changed by threads
        self._shown: Optional[View] = None  # changed on the loop
        self._begin()
        _stores.add(self)

    def _begin(self) -> None:
        self._calls = ThreadPoolExecutor(CALLS, NAME)
        self._tokens = ThreadPoolExecutor(TOKENS, f"{NAME}-token")
        self._running: Set[Future[Any]] = set()
        self._flights: Dict[str, _Flight] = {}
        self._sharing = threading.Lock()
        self._looking = threading.Lock()  # only threads wait for it

    def __repr__(self) -> str:
        view = self._shown
        shown = "not open" if view is None else repr(view)[len("<ConfigStore ") : -1]
        closed = " closed" if self._is_closed else ""
        return f"<{type(self).__name__} {shown}{closed}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"an {type(self).__name__} has threads of this process; open another one "
            "where you need it"
        )

    async def __aenter__(self: S) -> S:
        if self._opened is None and not self._is_closed:
            await self._open(self._make)
        _ = self._store  # closed ones stay closed
        return self

    async def __aexit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Wait for what is running, and end the threads; again is harmless.

        It waits for ``timeout`` seconds at most; what then is running still, goes on.
        Properties stay as they are, methods raise ``StoreClosedError``.
        """
        self._is_closed = True
        self._calls.shutdown(wait=False)
        self._tokens.shutdown(wait=False)
        timeout = TIMEOUT if self._opened is None else self._opened._timeout
        running = [
            asyncio.ensure_future(wait_for(future, self._show))
            for future in self._running.copy()
        ]
        if not running:
            return
        try:
            await asyncio.wait(running, timeout=min(timeout, LONGEST))
        finally:
            for waiting in running:
                waiting.cancel()

    @property
    def _store(self) -> ConfigStore:
        if self._opened is None or self._is_closed:
            raise StoreClosedError
        return self._opened

    @property
    def _view(self) -> View:
        if self._shown is None:
            raise StoreClosedError
        return self._shown

    async def _open(self, make: Callable[[], ConfigStore]) -> None:
        def open() -> None:
            self._opened = make()

        await self._result(self._submit(self._calls, open))

    async def _run(self, call: Callable[[ConfigStore], T]) -> T:
        """Call a method of the store in a thread."""
        store = self._store
        future = self._submit(self._calls, lambda: call(store))
        try:
            return await self._result(future)
        except asyncio.CancelledError:
            future.cancel()  # if no thread has begun it
            raise

    async def _token(self, call: Callable[[ConfigStore], str]) -> str:
        """Answer from memory while the token is fresh, as the store itself would."""
        store = self._store
        binding = store._binding
        snapshot = binding.snapshot
        now = store._clock()
        if snapshot.is_fresh(now):
            return snapshot.access_token
        # Whoever has a valid token does not wait for the one who refreshes it early.
        is_valid = isinstance(at(snapshot.session, now), LoggedIn)
        lanes = ("early", "beside") if is_valid else ("needed",)
        with self._sharing:
            for lane in lanes:
                flight = self._flights.get(lane)
                if (
                    flight is None
                    or flight.future.done()
                    # A login or a logout since then is final for those who ask now.
                    or flight.binding is not binding
                ):
                    future = self._submit(self._tokens, lambda: call(store))
                    flight = self._flights[lane] = _Flight(binding, future)
                    break
        return await self._result(cast(_Flight, flight).future)

    def _submit(self, executor: ThreadPoolExecutor, call: Callable[[], T]) -> Future[T]:
        context = contextvars.copy_context()
        future = executor.submit(context.run, self._work, call)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return future

    def _work(self, call: Callable[[], T]) -> T:
        try:
            return call()
        finally:
            self._look()

    def _look(self) -> None:
        """Read what the properties will show."""
        store = self._opened
        if store is None:
            return
        with self._looking:
            last = self._newest
            if last is None or last.snapshot is not store._binding.snapshot:
                self._newest = View.of(store)

    def _show(self) -> None:
        self._shown = self._newest

    async def _result(self, future: Future[T]) -> T:
        await wait_for(future, self._show)
        return future.result()


# Alive in this process, for its forked children.
_stores: weakref.WeakSet[AsyncStore] = weakref.WeakSet()


def _drop_inherited() -> None:
    for store in list(_stores):
        store._begin()  # the threads, and whatever they held, stayed in the parent


os.register_at_fork(after_in_child=_drop_inherited)
