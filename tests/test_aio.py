"""``neuro_config.aio`` on real loops and threads, against the embedded platform."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
import gc
import inspect
import pickle
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import (
    Any,
    AsyncIterator,
    Callable,
    Dict,
    Iterator,
    List,
    Optional,
    Tuple,
)

import pytest
from common import (
    CLUSTERS,
    PROJECTS,
    Clock,
    Login,
    free_urls,
    passed,
    wait_for_the_request,
)
from samples import in_child, started
from test_callback import is_free
from test_login import Person
from test_secrets import shown
from yarl import URL

from neuro_config import (
    CodeRefusedError,
    ConfigStore,
    DamagedFileError,
    FileStorage,
    ImportLoginError,
    InvalidTokenError,
    LoggedIn,
    LoggedOut,
    LoginChangedError,
    LoginTimeoutError,
    NetworkError,
    NotLoggedInError,
    Session,
    StoreClosedError,
    TokenExpired,
    TokenRefusedError,
    UnknownClusterError,
    UserConfigError,
    aio,
)
from neuro_config._aio import CALLS, NAME
from neuro_config._view import StoreView
from neuro_config.aio import AsyncClient, AsyncConfigStore
from neuro_config.testing import ClusterSpec, Platform, make_clusters

NOT_OPEN = "This store is not open"


@pytest.fixture
def platform() -> Iterator[Platform]:
    """A platform whose callback ports are this test's own."""
    with Platform(
        clusters=CLUSTERS, projects=PROJECTS, users=["bob"], callback_urls=free_urls()
    ) as platform:
        yield platform


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time())


Open = Callable[..., "contextlib.AbstractAsyncContextManager[AsyncConfigStore]"]


@pytest.fixture
def logged_in(login: Login, folder: Path, clock: Clock) -> Open:
    """Open a store of a user who is logged in, with a clock that the test sets."""
    login(clock=clock)

    def open(**options: Any) -> Any:
        return AsyncConfigStore.open(folder, **{"clock": clock, **options})

    return open


def stored(folder: Path) -> Session:
    session = FileStorage(folder).read()
    assert session is not None
    return session


def refreshes(platform: Platform) -> int:
    return platform.count("token", grant_type="refresh_token")


async def the_request(platform: Platform, count: int = 1) -> None:
    """Wait until so many refreshes have reached the platform."""
    while refreshes(platform) < count:
        await asyncio.sleep(0.005)


async def threads_to_end() -> None:
    """Wait until no thread of ours is left."""
    while threads():
        gc.collect()
        await asyncio.sleep(0.005)


def threads(name: str = NAME) -> List[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith(name)]


# ------------------------------------------------------------------ opening, closing


@pytest.mark.parametrize("way", ["await", "async with", "both", "constructor"])
def test_ways_to_open(logged_in: Open, folder: Path, way: str) -> None:
    """A store is opened by await, by async with, or by both."""

    async def main() -> None:
        if way == "await":
            store = await AsyncConfigStore.open(folder)
            assert "alice" == store.username
            await store.close()
        elif way == "async with":
            async with AsyncConfigStore.open(folder) as store:
                assert "alice" == store.username
        elif way == "both":
            async with await AsyncConfigStore.open(folder) as store:
                assert "alice" == store.username
        else:
            async with AsyncConfigStore(folder) as store:
                assert "alice" == store.username
        with pytest.raises(StoreClosedError, match=NOT_OPEN):
            await store.token()

    asyncio.run(main())


def test_before_it_is_open(folder: Path) -> None:
    """A store that is not open says so, and makes neither a file nor a thread."""

    async def main() -> None:
        await threads_to_end()  # of the test before
        opening = AsyncConfigStore.open(folder)
        store = AsyncConfigStore(folder)
        assert "<AsyncConfigStore not open>" == repr(store)
        with pytest.raises(StoreClosedError):
            _ = store.state
        with pytest.raises(StoreClosedError):
            await store.fetch()
        await store.close()
        with pytest.raises(StoreClosedError):
            async with store:
                pass
        assert [] == threads()
        assert not folder.exists()
        assert isinstance((await opening).state, LoggedOut)

    asyncio.run(main())


def test_closed(logged_in: Open) -> None:
    """A closed store runs no method, shows what it has shown, and stays closed."""

    async def main() -> None:
        async with logged_in() as store:
            shown = repr(store)
            assert shown.startswith("<AsyncConfigStore /")
            assert shown.endswith(" LoggedIn>")
        await store.close()
        with pytest.raises(StoreClosedError):
            await store.fetch()
        with pytest.raises(StoreClosedError):
            await store.token()
        with pytest.raises(StoreClosedError):
            async with store:
                pass
        assert "default" == store.cluster_name
        assert f"{shown[:-1]} closed>" == repr(store)
        await threads_to_end()

    asyncio.run(main())


def test_a_store_that_nobody_closes(logged_in: Open) -> None:
    """The threads of a store that nobody has any more end."""

    async def main() -> None:
        store = await logged_in()  # type: ignore[misc]
        await store.fetch()
        assert threads() != []
        del store
        await threads_to_end()

    asyncio.run(main())


def test_arguments(folder: Path) -> None:
    """Wrong arguments are refused when the store is opened."""

    async def main() -> None:
        with pytest.raises(TypeError):
            await AsyncConfigStore.open(5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="AsyncConfigStore"):
            AsyncClient(ConfigStore(folder))  # type: ignore[arg-type]

    asyncio.run(main())


def test_no_copy(logged_in: Open) -> None:
    """A store is not pickled: its threads are of this process."""

    async def main() -> None:
        async with logged_in() as store:
            with pytest.raises(TypeError, match="threads of this process"):
                pickle.dumps(store)

    asyncio.run(main())


def test_closing_waits(
    logged_in: Open, platform: Platform, folder: Path, clock: Clock
) -> None:
    """Leaving the block waits for a call that nobody awaits any more."""
    platform.faults.token.delay(answer=0.5)
    before = stored(folder).token

    async def main() -> None:
        clock.now += 4000
        async with logged_in() as store:
            task = asyncio.ensure_future(store.token())
            await the_request(platform)
            task.cancel()
        assert before != stored(folder).token

    asyncio.run(main())


def test_closing_is_bounded(logged_in: Open, platform: Platform, folder: Path) -> None:
    """Closing waits for the store's timeout at most, and never blocks the loop."""
    waiting = threading.Event()

    def get_auth_code(url: URL) -> str:
        waiting.wait(60)
        return "no code"

    async def main() -> None:
        async with logged_in(timeout=0.5, clock=time.time) as store:
            login = asyncio.ensure_future(
                store.login_headless(get_auth_code, url=platform.url)
            )
            while not platform.count("config"):
                await asyncio.sleep(0.005)
            began = time.monotonic()
            async with lag() as lags:
                await store.close()
            assert 0.4 < time.monotonic() - began < 10
            assert max(lags) < 0.4
        waiting.set()
        with pytest.raises(CodeRefusedError):
            await login

    asyncio.run(main())


def test_closing_is_cancelled(logged_in: Open, platform: Platform) -> None:
    """Whoever does not wait for the closing any longer can be cancelled."""

    async def main() -> None:
        store = await logged_in()  # type: ignore[misc]
        platform.faults.config.delay(1)
        fetch = asyncio.ensure_future(store.fetch())
        await asyncio.sleep(0)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(store.close(), 0.05)
        await fetch

    asyncio.run(main())


def test_a_damaged_directory(logged_in: Open, folder: Path, platform: Platform) -> None:
    """A store opens on damage, says it for what needs the login, and can log in."""
    (folder / "session.toml").write_text("damaged")

    async def main() -> None:
        async with AsyncConfigStore(folder) as store:
            assert "DamagedFileError" in repr(store)
            with pytest.raises(DamagedFileError):
                _ = store.username
            with pytest.raises(DamagedFileError):
                await store.token()
            await store.login_with_token(
                platform.issue_access_token(), url=platform.url
            )
            assert "alice" == store.username

    asyncio.run(main())


# ------------------------------------------------------------------- what there is


def public(owner: type) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for base in reversed(owner.__mro__[:-1]):
        found.update(vars(base))
    return {name: found[name] for name in found if not name.startswith("_")}


def test_members() -> None:
    """Each public member is here, methods that wait as coroutines, nothing else is."""
    theirs, ours = public(ConfigStore), public(AsyncConfigStore)
    assert {*theirs} - {"auth"} == {*ours} - {"open", "close"}
    looking = public(StoreView)
    for name in {*theirs} & {*ours}:
        is_property = isinstance(theirs[name], property)
        assert is_property == isinstance(ours[name], property), name
        awaits = inspect.iscoroutinefunction(ours[name])
        assert awaits == (name not in looking), name
        if not is_property:
            assert [*inspect.signature(theirs[name]).parameters] == [
                *inspect.signature(ours[name]).parameters
            ]
            assert theirs[name].__doc__ == ours[name].__doc__


def test_the_reference() -> None:
    """The coroutines of the reference are coroutines here."""
    for name in ("fetch", "switch_cluster", "switch_org", "get_user_config", "token"):
        assert inspect.iscoroutinefunction(getattr(AsyncConfigStore, name))


def test_properties(logged_in: Open, folder: Path) -> None:
    """Every property shows what the store's own shows."""
    names = [
        name for name, each in public(StoreView).items() if isinstance(each, property)
    ]

    async def main() -> None:
        async with logged_in() as store:
            same = ConfigStore(folder)
            for name in names:
                expected, actual = getattr(same, name), getattr(store, name)
                if name in ("clusters", "presets"):
                    expected, actual = dict(expected), dict(actual)
                assert expected == actual, name
            assert same.get_cluster("farm") == store.get_cluster("farm")
            assert same.get_project_key() == store.get_project_key()
            with pytest.raises(UnknownClusterError):
                store.get_cluster("moon")

    asyncio.run(main())


def test_transitions(folder: Path, platform: Platform) -> None:
    """The methods do what the store's own do."""

    async def main() -> None:
        async with AsyncConfigStore(folder) as store:
            token = platform.issue_access_token()
            await store.login_with_token(token, url=platform.url)
            assert token == await store.token()
            platform.account.add_cluster(ClusterSpec(name="new", orgs=("acme",)))
            await store.fetch()
            assert "new" in store.clusters
            await store.switch_cluster("new")
            await store.switch_org("umbrella")
            assert ("default", "umbrella") == (store.cluster_name, store.org_name)
            await store.switch_cluster("farm")
            await store.switch_project("main")
            assert "main" == store.project_name
            assert {} == await store.get_user_config()
            ConfigStore(folder).switch_cluster("default")
            assert "farm" == store.cluster_name
            await store.reload()
            assert "default" == store.cluster_name
            with pytest.raises(UnknownClusterError):
                await store.switch_cluster("moon")
            await store.logout()
            assert isinstance(store.state, LoggedOut)
            with pytest.raises(NotLoggedInError):
                await store.fetch()
            with pytest.raises(ImportLoginError):
                await store.import_login(folder)
            await store.login_with_passed_config(passed(platform))
            assert "alice" == store.username

    asyncio.run(main())


def test_what_fetch_stores_before_it_raises(
    logged_in: Open, platform: Platform
) -> None:
    """What a call has changed before it raised is shown."""

    async def main() -> None:
        async with logged_in() as store:
            platform.account.remove_cluster("default")
            with pytest.raises(UnknownClusterError):
                await store.fetch()
            assert ["farm", "lab"] == [*store.clusters]

    asyncio.run(main())


def test_an_error_shows_no_token(folder: Path, platform: Platform) -> None:
    """No traceback of a login that fails shows the token."""
    platform.faults.config.refuse_tokens()
    token = platform.issue_access_token()

    async def main() -> None:
        async with AsyncConfigStore(folder) as store:
            with pytest.raises(TokenRefusedError) as caught:
                await store.login_with_token(token, url=platform.url)
            assert token not in shown(caught.value)
            data = passed(platform, token=token)
            with pytest.raises(TokenRefusedError) as caught:
                await store.login_with_passed_config(data)
            assert data not in shown(caught.value)
        with pytest.raises(TokenRefusedError) as caught:
            await aio.login_with_token(token, url=platform.url, path=folder)
        assert token not in shown(caught.value)
        with pytest.raises(InvalidTokenError):
            await aio.login_with_token(None, path=folder)  # type: ignore[arg-type]

    asyncio.run(main())


# ----------------------------------------------------------------- what a loop sees

AUDIT = """
import asyncio, sys, threading, warnings
import neuro_config.aio
from neuro_config._view import StoreView

folder, url, token = sys.argv[1:]
loops_thread = threading.get_ident()
seen = []
is_on = False


def hook(event, arguments):
    if is_on and threading.get_ident() == loops_thread:
        seen.append((event, arguments))


async def main():
    global is_on
    async with neuro_config.aio.AsyncConfigStore.open(folder) as store:
        is_on = True
        names = [name for name in vars(StoreView) if not name.startswith("_")]
        for turn in range(2):
            for name in names:
                value = getattr(store, name)
                if name in ("clusters", "projects", "presets", "resource_pools"):
                    dict(value)
            store.get_cluster("farm")
            store.get_project_key()
            repr(store)
            await store.token()
            is_on = turn == 0
            if is_on:
                print(*seen, sep="\\n")
                await store.fetch()
                await store.switch_cluster("farm")
                await store.logout()
                await store.login_with_token(token, url=url)
                seen[:] = [one for one in seen if not one[0].startswith("_thread.")]


# PyJWT imports cryptography where it is installed.
warnings.filterwarnings("ignore", "Python 3.8 is no longer supported")
sys.addaudithook(hook)
asyncio.run(main())
print(*seen, sep="\\n")
"""


def test_no_io_on_the_loop(login: Login, folder: Path, platform: Platform) -> None:
    """Neither properties nor methods nor a fresh token open, import or connect."""
    login()
    token = platform.issue_access_token()
    with started(AUDIT, str(folder), str(platform.url), token) as process:
        assert "\n\n" == process.communicate(timeout=60)[0]
    assert 0 == process.returncode


def test_nothing_changes_between_awaits(logged_in: Open) -> None:
    """What a thread has done is shown when the loop's tasks wait, not in between."""

    async def main() -> None:
        async with logged_in() as store:
            task = asyncio.ensure_future(store.switch_cluster("farm"))
            await asyncio.sleep(0)
            concurrent.futures.wait(store._running)
            assert "default" == store.cluster_name
            await task
            assert "farm" == store.cluster_name

    asyncio.run(main())


def test_an_abandoned_change_is_shown(logged_in: Open) -> None:
    """What a call that nobody awaits any more has done is shown all the same."""

    async def main() -> None:
        async with logged_in() as store:
            task = asyncio.ensure_future(store.switch_cluster("farm"))
            await asyncio.sleep(0)
            concurrent.futures.wait(store._running)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert "farm" == store.cluster_name

    asyncio.run(main())


def test_a_catalog_that_is_cleaned_up(
    logged_in: Open, folder: Path, platform: Platform
) -> None:
    """What is shown stays whole when newer catalogs take the place of its own."""

    async def main() -> None:
        async with logged_in() as store:
            platform.account.add_cluster(ClusterSpec(name="new"))
            ConfigStore(folder).fetch()
            for path in folder.glob("catalog-*"):
                path.unlink()
            await store.token()
            assert [one.name for one in CLUSTERS] == [*store.clusters]
            assert "lab" == store.clusters["lab"].name

    asyncio.run(main())


def test_a_catalog_that_cannot_be_read(
    logged_in: Open, folder: Path, platform: Platform
) -> None:
    """A damaged catalog is told by what needs it, again and again, until a fetch."""
    (path,) = folder.glob("catalog-*")
    path.write_bytes(b"damaged\n")

    async def main() -> None:
        async with logged_in() as store:
            for _ in range(2):
                with pytest.raises(DamagedFileError):
                    _ = store.presets
            assert "default" == store.cluster_name
            await store.reload()
            with pytest.raises(DamagedFileError):
                _ = store.clusters
            assert await store.token()
            await store.fetch()
            assert len(store.presets) > 0

    asyncio.run(main())


def test_a_local_file_that_is_wrong(logged_in: Open) -> None:
    """A local file that is wrong is told by what it has a say in, and by nothing else."""
    Path(".neuro.toml").write_text("damaged")

    async def main() -> None:
        async with logged_in() as store:
            with pytest.raises(UserConfigError):
                _ = store.cluster_name
            assert "default" in store.clusters

    asyncio.run(main())


def test_the_clock(logged_in: Open, clock: Clock) -> None:
    """The state is that of now."""

    async def main() -> None:
        async with logged_in() as store:
            assert isinstance(store.state, LoggedIn)
            clock.now += 4000
            assert isinstance(store.state, TokenExpired)

    asyncio.run(main())


# --------------------------------------------------------------------- one token


@contextlib.asynccontextmanager
async def lag() -> AsyncIterator[List[float]]:
    """Measure for how long, in seconds, a loop does not come around."""
    lags: List[float] = [0.0]

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            lags.append(time.monotonic() - before - 0.001)

    ticking = asyncio.ensure_future(tick())
    await asyncio.sleep(0)
    try:
        yield lags
        await asyncio.sleep(0)
    finally:
        ticking.cancel()


def test_a_crowd(logged_in: Open, platform: Platform, clock: Clock) -> None:
    """200 calls on an expired store: one refresh, one thread, and the loop goes on."""
    rounds = 5
    worst: List[float] = []
    platform.faults.token.delay(answer=0.2)

    async def main() -> None:
        async with logged_in() as store:
            for number in range(1, rounds + 1):
                clock.now += 4000
                async with lag() as lags:
                    tokens = await asyncio.gather(*(store.token() for _ in range(200)))
                assert 1 == len({*tokens})
                assert number == refreshes(platform)
                # A thread that is not quite idle yet is not used again, hence no 1.
                assert len(threads(f"{NAME}-token")) <= number
                worst.append(max(lags))

    asyncio.run(main())
    # Another process may take the processor away once, but not each time.
    assert min(worst) < 0.05, worst


def test_a_fresh_token_needs_no_thread(logged_in: Open) -> None:
    """While the token is fresh it comes from memory."""

    async def main() -> None:
        async with logged_in() as store:
            tokens = {await store.token() for _ in range(100)}
            assert 1 == len(tokens)
            assert [] == threads(f"{NAME}-token")

    asyncio.run(main())


def test_an_early_refresh_keeps_one_waiting(
    logged_in: Open, platform: Platform, clock: Clock, folder: Path
) -> None:
    """While one refreshes early the others get the token that is still valid."""
    before = str(stored(folder).token.access_token)

    async def main() -> None:
        async with logged_in() as store:
            clock.now += 3000
            platform.faults.token.delay(answer=1.0)
            first = asyncio.ensure_future(store.token())
            await the_request(platform)
            for _ in range(3):
                crowd = await asyncio.gather(*(store.token() for _ in range(100)))
                assert [before] * 100 == crowd
            assert not first.done()
            assert len(threads(f"{NAME}-token")) <= 1 + 3
            assert before != await first
            assert await first == await store.token()
        assert 1 == refreshes(platform)

    asyncio.run(main())


def test_a_token_that_expires_meanwhile(
    logged_in: Open, platform: Platform, clock: Clock, folder: Path
) -> None:
    """Who asks after the expiry does not get what an early refresh falls back to."""
    before = str(stored(folder).token.access_token)

    async def main() -> None:
        async with logged_in() as store:
            clock.now += 3000
            platform.faults.token.delay(0.7)
            platform.faults.token.answer(503)
            early = asyncio.ensure_future(store.token())
            await the_request(platform)
            clock.now += 1000
            late = asyncio.ensure_future(store.token())
            assert before == await early
            with pytest.raises(NetworkError):
                await late

    asyncio.run(main())


def test_a_login_is_final(
    logged_in: Open, platform: Platform, clock: Clock, folder: Path
) -> None:
    """Who asks after a login does not get what was under way for the one before."""
    platform.faults.token.delay(answer=1.0)

    async def main() -> None:
        clock.now += 4000
        async with logged_in() as store:
            old = asyncio.ensure_future(store.token())
            await the_request(platform)
            platform.faults.token.reset()
            await store.login(Person(login_hint="bob"), url=platform.url)
            clock.now += 4000
            new = asyncio.ensure_future(store.token())
            await asyncio.sleep(0)
            assert not old.done()
            before = str(stored(folder).token.access_token)
            assert before != await new
            assert isinstance(await failure(old), LoginChangedError)
            assert "bob" == store.username
        assert stored(folder).token.access_token == await new

    asyncio.run(main())


async def failure(task: asyncio.Future[Any]) -> Optional[BaseException]:
    """Wait for a task and return what it raised."""
    await asyncio.wait([task])
    return task.exception()


def test_a_logout_is_final(
    logged_in: Open, platform: Platform, clock: Clock, folder: Path
) -> None:
    """A logout while a token is waited for is not undone, and the token not handed out."""
    platform.faults.token.delay(answer=0.7)

    async def main() -> None:
        clock.now += 4000
        async with logged_in() as store:
            waiting = asyncio.ensure_future(store.token())
            await the_request(platform)
            await store.logout()
            with pytest.raises(NotLoggedInError):
                await store.token()
            assert isinstance(await failure(waiting), NotLoggedInError)
            assert isinstance(store.state, LoggedOut)
        assert FileStorage(folder).read() is None

    asyncio.run(main())


def test_a_token_waits_for_nothing_else(
    logged_in: Open, platform: Platform, clock: Clock
) -> None:
    """However many calls are under way, a token does not stand in line behind them."""
    asked: List[URL] = []
    never = threading.Event()

    def get_auth_code(url: URL) -> str:
        asked.append(url)
        never.wait(60)
        return "no code"

    async def main() -> None:
        async with logged_in() as store:
            logins = [
                asyncio.ensure_future(
                    store.login_headless(get_auth_code, url=platform.url)
                )
                for _ in range(CALLS + 2)
            ]
            while len(asked) < CALLS:
                await asyncio.sleep(0.005)
            clock.now += 4000
            before = refreshes(platform)
            assert await store.token()
            assert before + 1 == refreshes(platform)
            never.set()
            for login in logins:
                assert isinstance(await failure(login), CodeRefusedError)

    asyncio.run(main())


def test_all_get_the_error(logged_in: Open, platform: Platform, clock: Clock) -> None:
    """What the authorization server refuses, all who waited for it hear."""
    platform.faults.token.delay(0.3)
    platform.faults.token.answer(400, {"error": "invalid_request"})

    async def main() -> None:
        clock.now += 4000
        async with logged_in() as store:
            waiting = [asyncio.ensure_future(store.token()) for _ in range(10)]
            errors = [await failure(each) for each in waiting]
            assert ["AuthError"] * 10 == [type(error).__name__ for error in errors]

    asyncio.run(main())


# ------------------------------------------------------------------- cancellation


def test_a_cancelled_refresh_is_saved(
    logged_in: Open, platform: Platform, folder: Path, clock: Clock
) -> None:
    """What a rotating server answers after the await was cancelled is not lost."""
    platform.faults.token.delay(answer=0.5)
    before = stored(folder).token

    async def main() -> None:
        clock.now += 4000
        async with logged_in() as store:
            task = asyncio.ensure_future(store.token())
            await the_request(platform)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            token = await store.token()
            saved = stored(folder)
            assert token == saved.token.access_token
            assert before.refresh_token != saved.token.refresh_token
            assert saved.refresh_sent is None
            await store.refresh_token()
            assert token != await store.token()

    asyncio.run(main())
    assert 2 == platform.count("token", grant_type="refresh_token", status=200)


def test_one_of_many_is_cancelled(
    logged_in: Open, platform: Platform, clock: Clock
) -> None:
    """Whoever is cancelled leaves the others waiting, and they get the token."""
    platform.faults.token.delay(answer=0.3)

    async def main() -> None:
        clock.now += 4000
        async with logged_in() as store:
            tasks = [asyncio.ensure_future(store.token()) for _ in range(3)]
            await the_request(platform)
            tasks[0].cancel()
            assert await tasks[1] == await tasks[2]
            assert tasks[0].cancelled()

    asyncio.run(main())
    assert 1 == refreshes(platform)


def test_what_no_thread_has_begun(logged_in: Open, platform: Platform) -> None:
    """A call that is cancelled while it waits for a thread is not done."""

    async def main() -> None:
        async with logged_in() as store:
            platform.faults.config.delay(0.5)
            fetches = [asyncio.ensure_future(store.fetch()) for _ in range(CALLS)]
            await asyncio.sleep(0)
            switch = asyncio.ensure_future(store.switch_cluster("farm"))
            await asyncio.sleep(0)
            switch.cancel()
            await asyncio.gather(*fetches)
            assert switch.cancelled()
            await store.reload()
            assert "default" == store.cluster_name

    asyncio.run(main())


LEAVE = """
import asyncio, sys
from neuro_config.aio import AsyncConfigStore


async def main():
    store = await AsyncConfigStore.open(sys.argv[1])
    print("open", flush=True)
    task = asyncio.ensure_future(store.refresh_token())
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    if "close" in sys.argv:
        await store.close()


asyncio.run(main())
print("over", flush=True)
"""


def test_a_loop_that_ends(login: Login, platform: Platform, folder: Path) -> None:
    """A process whose loop ends in the middle of a refresh saves it before it exits."""
    login()
    before = stored(folder).token
    platform.faults.token.delay(answer=1.0)
    with started(LEAVE, str(folder)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert "open\n" == process.stdout.readline()
        wait_for_the_request(platform)
        process.stdin.write("\n")
        process.stdin.flush()
        assert "over\n" == process.stdout.readline()
        assert before == stored(folder).token
        assert 0 == process.wait(30)
    assert before != stored(folder).token
    assert stored(folder).refresh_sent is None


# ----------------------------------------------------------------------- callbacks


class Browser:
    """Goes where a URL leads, once as a function and once as a coroutine function."""

    def __init__(self) -> None:
        self.person = Person()
        self.threads: List[int] = []
        self.values: List[str] = []

    def plain(self, url: URL) -> str:
        self.threads.append(threading.get_ident())
        self.values.append(variable.get())
        return self.person(url)

    async def coroutine(self, url: URL) -> str:
        self.threads.append(threading.get_ident())
        self.values.append(variable.get())
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self.person, url)

    async def __call__(self, url: URL) -> str:
        return await self.coroutine(url)


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

KINDS: Dict[str, Callable[[Browser], Any]] = {
    "plain": lambda browser: browser.plain,
    "coroutine": lambda browser: browser.coroutine,
    "callable": lambda browser: browser,
    "partial": lambda browser: functools.partial(Browser.coroutine, browser),
    "lambda": lambda browser: lambda url: browser.coroutine(url),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["login", "login_headless", "functions"])
def test_callbacks(platform: Platform, folder: Path, kind: str, way: str) -> None:
    """Coroutine functions run on the caller's loop and context, others in a thread."""
    browser = Browser()
    callback = KINDS[kind](browser)
    variable.set("mine")

    async def main() -> None:
        async with AsyncConfigStore(folder) as store:
            if way == "login":
                await store.login(callback, url=platform.url)
            elif way == "login_headless":
                await store.login_headless(callback, url=platform.url)
            else:
                await aio.login(callback, url=platform.url, path=folder)
                await aio.login_headless(callback, url=platform.url, path=folder)
                await store.reload()
            assert "alice" == store.username
            assert stored(folder).token.refresh_token is not None

    asyncio.run(main())
    on_the_loop = kind != "plain"
    assert {on_the_loop} == {one == threading.get_ident() for one in browser.threads}
    assert {"mine"} == {*browser.values}


@pytest.mark.parametrize("is_coroutine", [False, True])
def test_callbacks_that_raise(
    platform: Platform, folder: Path, is_coroutine: bool
) -> None:
    """What a callback raises ends the login and is raised."""

    def plain(url: URL) -> str:
        raise ZeroDivisionError

    async def coroutine(url: URL) -> str:
        raise ZeroDivisionError

    async def main() -> None:
        async with AsyncConfigStore(folder) as store:
            callback = coroutine if is_coroutine else plain
            with pytest.raises(ZeroDivisionError):
                await store.login(callback, url=platform.url)
            with pytest.raises(ZeroDivisionError):
                await store.login_headless(callback, url=platform.url)
        await threads_to_end()

    asyncio.run(main())


@pytest.mark.parametrize("way", ["method", "function"])
def test_logout_shows_a_url(platform: Platform, folder: Path, way: str) -> None:
    """A coroutine function is shown where the browser's own session ends."""
    urls: List[URL] = []

    async def show_browser(url: URL) -> None:
        urls.append(url)

    async def main() -> None:
        async with AsyncConfigStore(folder) as store:
            for callback in (show_browser, None):
                await store.login(Person(), url=platform.url)
                if way == "method":
                    await store.logout(callback)
                else:
                    await aio.logout(path=folder, show_browser=callback)
                    await store.reload()
                assert isinstance(store.state, LoggedOut)

    asyncio.run(main())
    assert ["/session/end"] == [url.path for url in urls]


def test_the_systems_browser(
    platform: Platform,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """Without a callback the system's browser opens, and the URL is told as well."""
    script = tmp_path / "browser.py"
    script.write_text("import sys, requests\nrequests.get(sys.argv[1])\n")
    monkeypatch.setenv("BROWSER", f"{sys.executable} {script} %s")

    async def main() -> None:
        async with AsyncConfigStore(folder) as store:
            await store.login(url=platform.url)
            assert "alice" == store.username

    asyncio.run(main())
    warnings = [one for one in caplog.records if one.levelname == "WARNING"]
    assert ["Log in with a browser"] == [one.getMessage()[:21] for one in warnings]


def test_a_callback_that_returns_at_once(platform: Platform, folder: Path) -> None:
    """A login waits for the person, not for the callback that shows the URL."""
    person = Person()

    async def main() -> None:
        shown = asyncio.Event()
        urls: List[URL] = []

        async def show_browser(url: URL) -> None:
            urls.append(url)
            shown.set()

        async with AsyncConfigStore(folder) as store:
            login = asyncio.ensure_future(store.login(show_browser, url=platform.url))
            await shown.wait()
            assert not (await asyncio.wait([login], timeout=0.2))[0]
            await asyncio.get_running_loop().run_in_executor(None, person, urls[0])
            await login
            assert "alice" == store.username

    asyncio.run(main())


def test_a_callback_that_goes_on(platform: Platform, folder: Path) -> None:
    """A coroutine that shows the browser may go on after the login."""
    person = Person()
    is_logged_in = asyncio.Event
    went_on: List[str] = []

    async def main() -> None:
        over, end = is_logged_in(), is_logged_in()

        async def show_browser(url: URL) -> None:
            await asyncio.get_running_loop().run_in_executor(None, person, url)
            await over.wait()
            went_on.append(store.username)
            end.set()

        async with AsyncConfigStore(folder) as store:
            await store.login(show_browser, url=platform.url)
            over.set()
            await end.wait()

    asyncio.run(main())
    assert ["alice"] == went_on


def callback_url(url: URL) -> str:
    return str(url.query["redirect_uri"])


@pytest.mark.parametrize("kind", ["plain", "coroutine", "function"])
def test_a_login_is_cancelled(platform: Platform, folder: Path, kind: str) -> None:
    """A login that nobody waits for any more ends: port, thread and callback."""
    urls: List[URL] = []
    ended: List[str] = []

    async def coroutine(url: URL) -> None:
        urls.append(url)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def main() -> None:
        async with AsyncConfigStore(folder, login_timeout=60) as store:
            callback = coroutine if kind == "coroutine" else urls.append
            call = aio.login if kind == "function" else store.login
            task = asyncio.ensure_future(call(callback, url=platform.url))
            while not urls:
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while not is_free(callback_url(urls[0])):
                await asyncio.sleep(0.005)
            while kind == "coroutine" and not ended:
                await asyncio.sleep(0.005)
        await threads_to_end()
        assert isinstance(store.state, LoggedOut)

    asyncio.run(main())


def test_a_login_is_cancelled_before_it_shows(platform: Platform, folder: Path) -> None:
    """A login that is cancelled before it has a URL shows none."""
    urls: List[URL] = []

    async def main() -> None:
        async with AsyncConfigStore(folder, login_timeout=60) as store:
            platform.faults.config.delay(0.3)
            ways: List[Callable[..., Any]] = [store.login, store.login_headless]
            for way in ways:
                before = platform.count("config")
                task = asyncio.ensure_future(way(urls.append, url=platform.url))
                while platform.count("config") == before:
                    await asyncio.sleep(0.005)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
        await threads_to_end()
        assert isinstance(store.state, LoggedOut)

    asyncio.run(main())
    assert [] == urls


def test_a_headless_login_is_cancelled(platform: Platform, folder: Path) -> None:
    """A coroutine that waits for the code is cancelled with the login."""
    events: List[str] = []

    async def main() -> None:
        asked = asyncio.Event()

        async def get_auth_code(url: URL) -> str:
            asked.set()
            try:
                return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]
            finally:
                events.append("ended")

        async with AsyncConfigStore(folder) as store:
            task = asyncio.ensure_future(
                store.login_headless(get_auth_code, url=platform.url)
            )
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        while not events:
            await asyncio.sleep(0.005)
        await threads_to_end()

    asyncio.run(main())


def test_a_coroutine_that_comes_too_late(platform: Platform, folder: Path) -> None:
    """The coroutine of a callback that returns after the cancellation is not run."""
    asked, go_on = threading.Event(), threading.Event()
    ran: List[str] = []

    async def coroutine() -> str:
        ran.append("ran")
        return "code"

    def get_auth_code(url: URL) -> Any:
        asked.set()
        go_on.wait(60)
        return coroutine()

    def get_future(url: URL) -> Any:
        asked.set()
        go_on.wait(60)
        return futures[0]

    futures: List[asyncio.Future[str]] = []

    async def main() -> None:
        futures.append(asyncio.get_running_loop().create_future())
        async with AsyncConfigStore(folder) as store:
            for callback in (get_auth_code, get_future):
                asked.clear()
                go_on.clear()
                task = asyncio.ensure_future(
                    store.login_headless(callback, url=platform.url)
                )
                while not asked.is_set():
                    await asyncio.sleep(0.005)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                go_on.set()
        await threads_to_end()

    asyncio.run(main())
    assert [] == ran


def test_nobody_logs_in(platform: Platform, folder: Path) -> None:
    """When nobody logs in in time the login ends, and the coroutine with it."""
    ended: List[str] = []

    async def show_browser(url: URL) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("ended")

    async def main() -> None:
        async with AsyncConfigStore(folder, login_timeout=0.2) as store:
            with pytest.raises(LoginTimeoutError):
                await store.login(show_browser, url=platform.url)
            while not ended:
                await asyncio.sleep(0.005)

    asyncio.run(main())


# ------------------------------------------------------------------------- the client


def test_get(logged_in: Open, folder: Path) -> None:
    """A client is opened by await and by async with, and closes its store."""

    async def main() -> None:
        client = await aio.get(folder)
        assert ("alice", "default") == (client.username, client.cluster_name)
        assert dict(client.config.presets) == dict(client.presets)
        assert f"<AsyncClient {client.config!r}>" == repr(client)
        assert not client.closed
        await client.close()
        assert client.closed
        assert repr(client).endswith(" closed>")
        async with aio.get(folder) as client, client as same:
            assert client is same
            await client.config.fetch()
        with pytest.raises(StoreClosedError):
            await client.config.fetch()

    asyncio.run(main())


def test_a_client_of_a_store(logged_in: Open) -> None:
    """A client of a store that was there before leaves it open."""

    async def main() -> None:
        async with logged_in() as store:
            async with AsyncClient(store) as client:
                assert store is client.config
            assert client.closed
            await store.fetch()

    asyncio.run(main())


def test_get_in_a_job(
    platform: Platform, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody logged in is an error, unless the platform has passed a login."""

    async def main() -> None:
        with pytest.raises(NotLoggedInError):
            await aio.get(folder)
        with pytest.raises(NotLoggedInError):
            async with aio.get(folder):
                pass
        monkeypatch.setenv("APOLO_PASSED_CONFIG", passed(platform))
        async with aio.get(folder) as client:
            assert "alice" == client.username

    asyncio.run(main())


def test_opening_is_cancelled(platform: Platform, folder: Path) -> None:
    """An opening that nobody waits for any more leaves no thread behind."""

    async def main() -> None:
        platform.faults.config.delay(0.3)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(opening(), 0.05)
        await threads_to_end()

    async def opening() -> AsyncClient:
        return await aio.get(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APOLO_PASSED_CONFIG", passed(platform))
        asyncio.run(main())


# ------------------------------------------------------------------ loops and processes


def test_two_loops(logged_in: Open, platform: Platform, clock: Clock) -> None:
    """Two loops in two threads share a store: one refresh, and both get the token."""
    platform.faults.token.delay(answer=0.3)

    async def main() -> None:
        async with logged_in() as store:
            clock.now += 4000

            async def crowd() -> List[str]:
                return await asyncio.gather(*(store.token() for _ in range(50)))

            async def other() -> Tuple[List[str], str]:
                tokens = await crowd()
                await store.switch_cluster("farm")
                return tokens, store.cluster_name

            loop = asyncio.get_running_loop()
            theirs = loop.run_in_executor(None, asyncio.run, other())
            mine = await crowd()
            tokens, name = await theirs
            assert 1 == len({*mine, *tokens})
            assert "farm" == name == store.cluster_name

    asyncio.run(main())
    assert 1 == refreshes(platform)


def test_one_loop_after_another(logged_in: Open) -> None:
    """A store that one loop has opened works on the next one, too."""

    async def opened() -> AsyncConfigStore:
        store: AsyncConfigStore = await logged_in()  # type: ignore[misc]
        return store

    store = asyncio.run(opened())

    async def use() -> str:
        async with store:
            await store.switch_cluster("farm")
            return store.cluster_name

    assert "farm" == asyncio.run(use())


def test_a_closed_loop(
    logged_in: Open, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    """A call whose loop is closed meanwhile ends in peace."""

    async def leave() -> AsyncConfigStore:
        store: AsyncConfigStore = await logged_in()  # type: ignore[misc]
        platform.faults.config.delay(0.3)
        before = platform.count("config")
        futures.append(asyncio.ensure_future(store.fetch()))
        while platform.count("config") == before:
            await asyncio.sleep(0.005)
        return store

    futures: List[asyncio.Future[None]] = []
    store = asyncio.run(leave())
    concurrent.futures.wait(store._running)
    assert futures[0].cancelled()

    async def back() -> None:
        async with store:
            assert await store.token()

    asyncio.run(back())
    assert [] == caplog.records


def test_a_fork(logged_in: Open, platform: Platform, clock: Clock) -> None:
    """A child of a fork in the middle of a refresh waits for no thread of its parent."""

    async def opened() -> AsyncConfigStore:
        store: AsyncConfigStore = await logged_in()  # type: ignore[misc]
        return store

    async def begin() -> None:
        clock.now += 4000
        tasks.append(asyncio.ensure_future(store.token()))
        await the_request(platform)

    async def in_the_child() -> bool:
        async with store:
            await store.switch_cluster("farm")
            return len(await store.token()) > 0

    tasks: List[asyncio.Future[str]] = []
    store = asyncio.run(opened())
    platform.faults.token.delay(answer=1.0)
    asyncio.run(begin())
    assert 1 == len(store._flights)
    assert in_child(lambda: asyncio.run(in_the_child()))

    async def in_the_parent() -> None:
        async with store:
            assert await store.token()

    asyncio.run(in_the_parent())
    assert 1 == refreshes(platform)


# --------------------------------------------------------------------------- loading


def test_a_large_catalog(folder: Path) -> None:
    """A large catalog is read in a thread, and a token needs none of it again."""
    clusters = make_clusters(200, 20)

    async def main() -> None:
        with Platform(clusters=clusters) as platform:
            async with AsyncConfigStore(folder) as store:
                await store.login_with_token(
                    platform.issue_access_token(), url=platform.url
                )
                catalog = store._view._opened
                assert catalog is not None
                assert [store.cluster_name] == [*catalog._parsed]
                await store.reload()
                assert catalog is store._view._opened
                assert 200 == len(store.clusters)
                shutil.rmtree(folder)
                assert 20 == len(store.clusters[clusters[-1].name].presets)

    asyncio.run(main())
