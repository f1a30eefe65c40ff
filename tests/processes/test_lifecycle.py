"""Signals, forks, threads and a failing disk around one refresh."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import List

import pytest
from common import Login, needs

from neuro_config import ConfigStore, FileStorage, LoggedIn, Session
from neuro_config.testing import Platform

REFRESH = """
import sys, logging
import neuro_config._refresh
from neuro_config import ConfigStore
logging.basicConfig(format="%(message)s")
store = ConfigStore(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
store.refresh_token()
print(store.token(), flush=True)
for line in sys.stdin:
    store.reload()
    print(store.token(), flush=True)
"""


def stored(path: Path) -> Session:
    session = FileStorage(path).read()
    assert session is not None
    return session


def start(path: Path, *before: str, code: str = REFRESH) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*before, sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "ready\n" == process.stdout.readline()
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def wait_for_the_request(platform: Platform) -> None:
    while not platform.count("token", grant_type="refresh_token"):
        time.sleep(0.01)


@pytest.mark.attack("7")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_during_a_refresh(
    platform: Platform, login: Login, number: signal.Signals
) -> None:
    """A signal that comes while a refresh is under way waits until the answer is saved."""
    store = login()
    before = store.token()
    platform.faults.token.delay(0.7)
    process = start(store.path)
    go(process)
    wait_for_the_request(platform)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    session = stored(store.path)
    assert before != session.token.access_token
    assert session.refresh_sent is None
    assert "" == out
    if number is signal.SIGTERM:
        assert -signal.SIGTERM == process.returncode
    else:
        assert err.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.attack("7", "mark")
def test_second_interrupt(platform: Platform, login: Login) -> None:
    """A second Ctrl-C interrupts at once; the mark tells that the answer is not known."""
    store = login()
    platform.faults.token.delay(20.0)
    process = start(store.path)
    go(process)
    wait_for_the_request(platform)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert stored(store.path).refresh_sent is not None


@pytest.mark.attack("8", "mark")
def test_killed_between_sending_and_saving(platform: Platform, login: Login) -> None:
    """A refresher killed with -9 leaves the mark and no lock: a valid token is served."""
    store = login()
    valid = store.token()
    platform.faults.token.delay(1.0)
    process = start(store.path)
    go(process)
    wait_for_the_request(platform)
    process.kill()
    process.communicate()
    assert stored(store.path).refresh_sent is not None
    late = ConfigStore(store.path, clock=lambda: time.time() + 3000)
    started = time.monotonic()
    assert valid == late.token()
    assert time.monotonic() - started < 1.0
    assert 1 == platform.count("token", grant_type="refresh_token")


@pytest.mark.attack("8", "9")
def test_stopped_refresher(platform: Platform, login: Login) -> None:
    """A frozen refresher is named by its pid after the timeout, and blocks no valid token."""
    from neuro_config import LockTimeoutError

    store = login()
    valid = store.token()
    platform.faults.token.delay(1.0)
    process = start(store.path)
    go(process)
    wait_for_the_request(platform)
    process.send_signal(signal.SIGSTOP)
    try:
        late = ConfigStore(store.path, clock=lambda: time.time() + 3000)
        assert valid == late.token()
        gone = ConfigStore(store.path, clock=lambda: time.time() + 3700, timeout=0.5)
        started = time.monotonic()
        with pytest.raises(LockTimeoutError, match=f"process {process.pid} since"):
            gone.token()
        assert 0.4 < time.monotonic() - started < 2.0
        late.switch_cluster("farm")
    finally:
        process.send_signal(signal.SIGCONT)
    assert process.stdin is not None
    process.communicate(timeout=30)
    session = stored(store.path)
    assert valid != session.token.access_token
    assert "farm" == session.choice.cluster_name


@pytest.mark.attack("8", "13")
def test_fork_during_a_refresh(platform: Platform, login: Login) -> None:
    """A child forked while a thread refreshes drops the lock and works on its own."""
    code = """
import os, sys, threading, time
from neuro_config import ConfigStore
store = ConfigStore(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
thread = threading.Thread(target=store.refresh_token)
thread.start()
while not os.path.exists(sys.argv[1] + "/refresh.holder"):
    time.sleep(0.01)
time.sleep(0.2)
child = os.fork()
if not child:
    token = store.token()
    store.switch_cluster("farm")
    time.sleep(30 if sys.stdin.readline() else 0)
    os._exit(0)
thread.join()
print(child, store.token(), flush=True)
os._exit(0)
"""
    store = login()
    platform.faults.token.delay(0.6)
    process = start(store.path, code=code)
    go(process)
    assert process.stdout is not None
    _, token = process.stdout.readline().split()
    process.wait(10)
    try:
        # The parent is gone, the child lives: nobody holds a lock any more.
        assert token == stored(store.path).token.access_token
        quick = ConfigStore(store.path, timeout=1.0)
        quick.refresh_token()
        assert token != quick.token()
        while "farm" != stored(store.path).choice.cluster_name:
            time.sleep(0.01)
    finally:
        process.communicate()
    assert 0 == platform.count(reuse_detected=True)


@pytest.mark.attack("7", "13")
def test_child_forked_while_signals_are_put_off(
    platform: Platform, login: Login
) -> None:
    """A child that another thread forks during a refresh ends on SIGTERM as ever."""
    code = """
import os, signal, sys, threading, time
from neuro_config import ConfigStore
store = ConfigStore(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
def fork():
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        time.sleep(0.01)
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    time.sleep(0.2)
    os.kill(child, signal.SIGTERM)
    print(os.waitpid(child, 0)[1], flush=True)
thread = threading.Thread(target=fork)
thread.start()
store.refresh_token()
thread.join()
"""
    store = login()
    platform.faults.token.delay(1.5)
    process = start(store.path, code=code)
    out, err = process.communicate("\n", timeout=30)
    assert (f"{int(signal.SIGTERM)}\n", 0) == (out, process.returncode), err


@pytest.mark.attack("5", "13")
def test_fork_with_an_open_store(platform: Platform, login: Login) -> None:
    """Children forked from a process with an open store share one refresh."""
    code = """
import os, sys
from neuro_config import ConfigStore
import time
store = ConfigStore(sys.argv[1], clock=lambda: time.time() + 3700)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(8):
    if not os.fork():
        os.write(1, (store.token() + "\\n").encode())
        os._exit(0)
for _ in range(8):
    os.wait()
"""
    store = login()
    process = start(store.path, code=code)
    out, _ = process.communicate("\n", timeout=30)
    assert 8 == len(out.split())
    assert 1 == len(set(out.split()))
    assert 1 == platform.count("token", grant_type="refresh_token")


@pytest.mark.attack("7", "mark")
@needs("strace")
def test_answer_that_the_disk_refuses(platform: Platform, login: Login) -> None:
    """An answer that cannot be saved is returned, kept with the lock, and saved later."""
    store = login()
    before = stored(store.path)
    trace = "strace -f -qq -o /dev/null -e trace=rename"
    fail = ["-e", "inject=rename:error=EIO:when=2"]
    process = start(store.path, *trace.split(), *fail)
    go(process)
    assert process.stdout is not None
    token = process.stdout.readline().strip()
    marked = stored(store.path)
    assert before.token == marked.token
    assert marked.refresh_sent is not None
    assert before.token.access_token != token
    # Nobody else can send the spent token meanwhile.
    other = ConfigStore(store.path, timeout=0.3, clock=lambda: time.time() + 3700)
    with pytest.raises(Exception, match=r"refresh\.lock is still locked"):
        other.token()
    go(process)
    assert token == process.stdout.readline().strip()
    after = stored(store.path)
    assert token == after.token.access_token
    assert after.refresh_sent is None
    _, err = process.communicate(timeout=10)
    assert "valid but could not be saved yet" in err
    other.reload()
    assert other.token() != token
    assert 2 == platform.count("token", grant_type="refresh_token")
    assert 0 == platform.count(reuse_detected=True)


@pytest.mark.attack("6", "7")
@needs("strace")
def test_unsaved_answer_and_a_new_login(platform: Platform, login: Login) -> None:
    """An answer that could not be saved is dropped by a login, with its lock."""
    code = """
import sys
from neuro_config import ConfigStore
store = ConfigStore(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
store.refresh_token()
unsaved = store.token()
store.fetch()
print(unsaved == store.token(), flush=True)
store.login_with_token(sys.stdin.readline().strip(), url=store.api_url)
print(store.username, flush=True)
sys.stdin.readline()
"""
    store = login()
    trace = "strace -f -qq -o /dev/null -e trace=rename"
    fail = ["-e", "inject=rename:error=EIO:when=2..3"]
    process = start(store.path, *trace.split(), *fail, code=code)
    go(process)
    assert process.stdout is not None
    assert "True\n" == process.stdout.readline()
    assert process.stdin is not None
    process.stdin.write(platform.issue_access_token("bob") + "\n")
    process.stdin.flush()
    assert "bob\n" == process.stdout.readline()
    FileStorage(store.path).sole_refresher(0).release()
    process.communicate("\n")
    assert "bob" == stored(store.path).username


def test_threads_and_processes_lose_nothing(login: Login, workers: object) -> None:
    """Threads of one store and of others switch as if one after the other."""
    store = login()
    other = ConfigStore(store.path)
    errors: List[BaseException] = []

    def switch(one: ConfigStore) -> None:
        try:
            for name in ("farm", "lab", "default") * 10:
                one.switch_cluster(name)
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=switch, args=(one,)) for one in (store, store, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == errors
    store.reload()
    assert "default" == store.cluster_name
    assert isinstance(store.state, LoggedIn)


@needs("unshare")
def test_passed_config_on_a_read_only_home(platform: Platform, tmp_path: Path) -> None:
    """On a read-only home a passed configuration logs in, in memory."""
    import base64
    import json

    passed = base64.b64encode(
        json.dumps(
            {
                "token": platform.issue_access_token(),
                "cluster": "farm",
                "url": str(platform.url),
            }
        ).encode()
    ).decode()
    code = """
import sys
from neuro_config import ConfigStore
store = ConfigStore(sys.argv[1])
store.login_with_passed_config(sys.argv[2])
store.fetch()
store.switch_cluster("default")
print(store.username, store.cluster_name, store.path)
store.logout()
print(type(store.state).__name__)
"""
    script = f'mount -t tmpfs -o ro none "{tmp_path}" && exec "$@"'
    result = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, "-c", code,
         str(tmp_path / "home" / ".neuro"), passed],
        capture_output=True, text=True,
    )  # fmt: skip
    assert ("alice default memory-1\nLoggedOut\n", 0) == (
        result.stdout,
        result.returncode,
    )
