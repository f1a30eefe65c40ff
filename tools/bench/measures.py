"""What is measured, and what each figure is held against.

Each measure is asked of every subject in turn, round by round, so that a machine whose
speed drifts slows all of them down alike; ratios are made round by round.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

import requests
from process import Driver, Launcher, all_at_once
from register import Access, lost
from subjects import OURS, SUBJECTS, Subject, packages, python_of

from neuro_config.testing import ClusterSpec, ExpiresIn, Platform, make_clusters

SIZES = ((3, 15), (100, 50), (1000, 50))
ORGS = tuple(f"org-{number}" for number in range(8))
STORM = 1000  # switches, by 8 processes
FLOOR = "floor"
IN_MEMORY = (
    ("token", 20000),
    ("cluster_name", 20000),
    ("presets", 500),
    ("get_user_config", 50),
)

Samples = Dict[Tuple[str, str], List[float]]


class Scale(NamedTuple):
    """How much to measure.

    Args:
        rounds: Of everything.
        sizes: Clusters and presets in each.
        storm: Switches, by 8 processes together.
        herd: Processes that find an expired token at one moment.
    """

    rounds: int
    sizes: Tuple[Tuple[int, int], ...] = SIZES
    storm: int = STORM
    herd: int = 16


class Bench:
    """Platforms, logins and processes for all measures.

    Args:
        environments: Where the subjects are installed.
        scale: How much to do.
        disk: A folder on the disk that writes are to reach.
    """

    def __init__(self, environments: Path, scale: Scale, disk: Path) -> None:
        self._environments = environments
        self._scale = scale
        self.samples: Samples = {}
        self._folder = Path(tempfile.mkdtemp(prefix="bench-", dir=disk))
        self._platforms = {
            subject: Platform(era=subject.era, rotate=True, port=0)
            for subject in SUBJECTS
        }

    def __enter__(self) -> Bench:
        for platform in self._platforms.values():
            platform.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        for platform in self._platforms.values():
            platform.stop()
        shutil.rmtree(self._folder)

    def run(self) -> Samples:
        """Measure everything; returns seconds, MiB or counts, a list per row."""
        say("size")
        self._size()
        say("processes")
        self._processes()
        for size in self._scale.sizes:
            say(f"{size[0]} x {size[1]}")
            self._stores(size)
        say("one refresh for many")
        self._herd()
        say("switches of many")
        self._storm()
        return self.samples

    # ------------------------------------------------------------------ measures

    def _size(self) -> None:
        for subject in SUBJECTS:
            count, size = packages(python_of(subject, self._environments))
            self._add("packages", subject, count)
            self._add("installed", subject, size / (1 << 20))

    def _processes(self) -> None:
        short = 0.2  # seconds that a token lives which is expired a process later
        for platform in self._platforms.values():
            # One of the peers never stores a rotated refresh token: its second refresh
            # would end the login.
            platform.tokens.rotate = False
        paths = {each: self._login(each, (3, 15), "valid") for each in SUBJECTS}
        expired = {
            each: self._login(each, (3, 15), "expired", life=short) for each in SUBJECTS
        }
        ours = python_of(OURS, self._environments)
        with contextlib.closing(Launcher()) as launcher:
            for is_warm in [False] + [True] * self._scale.rounds:
                for name in ("pass", "import attr, tomli"):
                    usage = launcher.run(ours, name)
                    if is_warm:
                        self._sample(name, FLOOR, usage.seconds)
                        self._sample(f"memory of {name}", FLOOR, usage.mebibytes)
                for subject in SUBJECTS:
                    platform = self._platforms[subject]
                    python = python_of(subject, self._environments)
                    bare = launcher.run(python, f"import {subject.module}")
                    valid = launcher.run(python, subject.prints, str(paths[subject]))
                    platform.tokens.expires_in = short
                    before = platform.count("token", grant_type="refresh_token")
                    late = launcher.run(python, subject.prints, str(expired[subject]))
                    sent = platform.count("token", grant_type="refresh_token") - before
                    if sent != 1:
                        raise RuntimeError(f"{subject.name} sent {sent} refreshes")
                    if is_warm:
                        self._add("import", subject, bare.seconds)
                        self._add("valid token", subject, valid.seconds)
                        self._add("memory", subject, valid.mebibytes)
                        self._add("expired token", subject, late.seconds)
        for platform in self._platforms.values():
            platform.tokens.rotate = True

    def _stores(self, size: Tuple[int, int]) -> None:
        clusters, presets = size
        label = f"{clusters} x {presets}"
        first, last = "cluster-0000", f"cluster-{clusters - 1:04}"
        with contextlib.ExitStack() as stack:
            drivers = {}
            paths = {}
            for subject in SUBJECTS:
                paths[subject] = str(self._login(subject, size, label))
                driver = Driver(subject, self._environments)
                stack.callback(driver.close)
                drivers[subject] = driver
                driver.seconds("presets", paths[subject])
                for what in ("get_user_config", "open and presets", "fetch"):
                    driver.seconds(what, paths[subject])
            given = make_clusters(*size)
            for number in range(self._scale.rounds):
                self._sample(f"durable write, {label}", FLOOR, self._durable_write())
                for subject, driver in drivers.items():
                    path = paths[subject]
                    if size == self._scale.sizes[0]:
                        for what, times in IN_MEMORY:
                            seconds = driver.seconds(what, path, times=times)
                            self._add(f"one {what}", subject, seconds)
                    for what in ("open", "open and presets"):
                        seconds = driver.seconds(what, path)
                        self._add(f"{what}, {label}", subject, seconds)
                    driver.seconds("switch_cluster", path, last)
                    seconds = driver.seconds("switch_cluster", path, first)
                    self._add(f"switch, {label}", subject, seconds)
                    seconds = driver.seconds("fetch", path)
                    self._add(f"fetch, {label}", subject, seconds)
                    account = self._platforms[subject].account
                    account.clusters = (*given, ClusterSpec(name=f"new-{number}"))
                    render(self._platforms[subject])
                    seconds = driver.seconds("fetch", path)
                    self._add(f"fetch of something new, {label}", subject, seconds)
                    account.clusters = given
                    render(self._platforms[subject])
                    driver.seconds("fetch", path)
                self._fresh_switch(label, paths[OURS], (first, last))

    def _fresh_switch(self, label: str, path: str, names: Tuple[str, str]) -> None:
        with contextlib.closing(Driver(OURS, self._environments)) as driver:
            driver.seconds("cluster_name", path)  # it is open; nothing was written yet
            seconds = driver.seconds("switch_cluster", path, names[1])
            self._add(f"switch in a fresh process, {label}", OURS, seconds)
            driver.seconds("switch_cluster", path, names[0])

    def _herd(self) -> None:
        for number in range(max(1, self._scale.rounds // 3)):
            for subject in SUBJECTS:
                platform = self._platforms[subject]
                path = self._login(subject, (3, 15), f"herd-{number}", life=0.2)
                time.sleep(0.3)
                platform.tokens.expires_in = ExpiresIn.LIFE
                platform.clear_requests()
                python = python_of(subject, self._environments)
                command = [python, "-W", "ignore", "-c", subject.prints, str(path)]
                found = all_at_once([command] * self._scale.herd)
                done = [seconds for seconds in found if seconds is not None]
                sent = platform.count("token", grant_type="refresh_token")
                self._add("herd: requests", subject, sent)
                self._add("herd: without a token", subject, len(found) - len(done))
                if len(done) == len(found):
                    self._add("herd: last one", subject, max(done))

    def _storm(self) -> None:
        for subject in SUBJECTS:
            path = str(self._login(subject, (16, 15), "storm", orgs=ORGS))
            end = self._folder / f"{subject.name}-end"
            with contextlib.ExitStack() as stack:
                drivers = [
                    Driver(subject, self._environments) for _ in range(len(ORGS) + 1)
                ]
                for driver in drivers:
                    stack.callback(driver.close)
                *writers, watcher = drivers
                for driver in writers:
                    driver.seconds("cluster_name", path)
                watcher.ask("watch", path, str(end))
                started = time.perf_counter()
                for number, driver in enumerate(writers):
                    # Half of them switch clusters and half orgs, each with values of
                    # its own, so that neither may undo the other's.
                    is_org = number % 2
                    names = [
                        ORGS[number - is_org + each]
                        if is_org
                        else f"cluster-{2 * number + each:04}"
                        for each in (0, 1)
                    ]
                    action = "switch_org" if is_org else "switch_cluster"
                    times = self._scale.storm // len(writers)
                    driver.ask("storm", path, action, names, times)
                switches = [driver.answer() for driver in writers]
                seconds = time.perf_counter() - started
                end.touch()
                reads = watcher.answer()
            gone = 0
            for column in (0, 1):
                writes = [
                    Access(*one[:3])
                    for found in switches[column::2]
                    for one in found
                    if one[3] is None
                ]
                seen = [Access(one[0], one[1], one[2 + column]) for one in reads]
                gone += lost(writes, seen)
            done = sum(one[3] is None for found in switches for one in found)
            every = sum(map(len, switches))
            self._add("storm: per second", subject, done / seconds)
            self._add("storm: failed", subject, every - done)
            self._add("storm: lost", subject, gone)

    # ----------------------------------------------------------------- machinery

    def _login(
        self,
        subject: Subject,
        size: Tuple[int, int],
        label: str,
        *,
        orgs: Tuple[str, ...] = ("acme",),
        life: float = 0.0,
    ) -> Path:
        platform = self._platforms[subject]
        platform.account.clusters = make_clusters(*size, orgs=orgs)
        platform.tokens.expires_in = life or ExpiresIn.LIFE
        path = self._folder / subject.name / label.replace(" ", "")
        with contextlib.closing(Driver(subject, self._environments)) as driver:
            driver.seconds("login", str(path), str(platform.url))
        return path

    def _durable_write(self) -> float:
        """Time what any durable change costs at least: the floor of a switch."""
        path = self._folder / "durable"
        data = os.urandom(3000)
        started = time.perf_counter()
        fd = os.open(f"{path}.tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(fd, data)
        os.fsync(fd)
        os.close(fd)
        os.rename(f"{path}.tmp", path)
        fd = os.open(self._folder, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        return time.perf_counter() - started

    def _add(self, measure: str, subject: Subject, value: float) -> None:
        self._sample(measure, subject.name, value)

    def _sample(self, measure: str, who: str, value: float) -> None:
        self.samples.setdefault((measure, who), []).append(value)


def render(platform: Platform) -> None:
    """Have the platform make its answer now, so that nobody is charged for that."""
    token = platform.issue_access_token()
    headers = {"Authorization": f"Bearer {token}"}
    with requests.Session() as http:
        http.trust_env = False
        http.get(str(platform.url / "config"), headers=headers, timeout=60)


def say(text: str) -> None:
    """Tell a person how far it is."""
    print(f"... {text}", file=sys.stderr, flush=True)
