"""A login in a directory, a platform without a network, and what actors do with both.

The platform is the embedded one, called in the thread that asks; the directory and its
locks are real. Actors that are processes have a storage each, whose place is spelled
differently, since what a process keeps in its memory it keeps by the place.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import (
    Any,
    Callable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import attrs
import pytest
import requests
import urllib3
from baton import Killed, Stage, StageLock, staged
from common import CLUSTERS, PROJECTS, Clock
from lineage import Lineage, digest
from linear import Act, linearize
from race_spec import Did, Login, Offers, Spec, act, visible
from requests.adapters import HTTPAdapter
from werkzeug.test import Client

from neuro_config import ConfigError, ConfigStore, FileStorage, _unsaved
from neuro_config._attempts import RefreshMark
from neuro_config._deadline import Deadline
from neuro_config._locks import is_held
from neuro_config._refresh import token_from
from neuro_config._session import (
    Session,
    decode,
    encode,
    hash_of,
)
from neuro_config.testing import Platform

LIFE = 1000.0  # seconds
NOW = {"fresh": 10, "late": 80, "expired": 110}  # hundredths of a life

OFFERS: Offers = {
    cluster.name: {org: [] for org in cluster.orgs} for cluster in CLUSTERS
}
for project in PROJECTS:
    OFFERS[project.cluster_name][project.org_name].append(project.name)


class InProcess(HTTPAdapter):
    """Carries requests to the platform's application, without a connection."""

    def __init__(self, platform: Platform) -> None:
        super().__init__()
        self._client = Client(platform._app)

    def send(self, request: requests.PreparedRequest, **options: Any) -> Any:  # type: ignore[override]
        answer = self._client.open(
            request.path_url,
            method=request.method or "GET",
            data=b"".join(request.body or ()),  # type: ignore[arg-type]
            headers=dict(request.headers),
        )
        raw = urllib3.HTTPResponse(
            io.BytesIO(answer.data),
            status=answer.status_code,
            headers=dict(answer.headers),
            preload_content=False,
        )
        return self.build_response(request, raw)


class Scene(NamedTuple):
    """What is done by whom at one time.

    Args:
        token: What the token is at the beginning: a key of ``NOW``.
        scripts: For each actor, what it does, one after the other.
        cast: Whether the actors are processes, threads, or threads of one store.
        spent: Whether the answer to a refresh got lost before.
        refused: Numbers of the renames of an answer that the disk refuses, from 1.
    """

    token: str
    scripts: Tuple[Tuple[str, ...], ...]
    cast: str = "processes"
    spent: bool = False
    refused: Tuple[int, ...] = ()


class World:
    """A platform and a directory, set back for every run of a scene."""

    def __init__(self, platform: Platform, folder: Path, stage: Stage) -> None:
        self._platform = platform
        self._folder = str(folder)
        self._stage = stage
        self._clock = Clock(1e9)
        self.lineage = Lineage(platform, self._clock.now, LIFE)
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.mount("http://", InProcess(platform))
        store = ConfigStore(folder, clock=self._clock, http=self._http)
        _, answer = self.lineage.begin(platform.user)
        store._log_in_with_answer(answer, platform.url, Deadline(30.0))
        found = FileStorage(folder).read()
        assert found is not None
        self._template = found
        self._history: List[Act] = []
        self._lost = False
        self._renames = 0
        self._stores: List[ConfigStore] = []
        self._first = self._template

    def refuses(self, name: str, path: Any) -> None:
        """Refuse to save an answer, if the scene says so."""
        if name == "rename" and os.path.basename(path).startswith("refresh-"):
            self._renames += 1
            if self._renames in self._scene.refused:
                raise OSError(5, "Input/output error")

    def run(self, scene: Scene, prefix: Tuple[int, ...]) -> Any:
        """Play a scene once and judge what came of it."""
        self._set(scene)
        plays = [
            self._play(store, script)
            for store, script in zip(self._stores, scene.scripts)
        ]
        with pytest.MonkeyPatch.context() as patch, staged(self._stage, self.refuses):
            if scene.cast == "one store":
                patch.setattr(self._stores[0], "_rebinding", StageLock(self._stage))
            trace = self._stage.run(plays, prefix)
        self._judge(scene)
        return trace

    # ------------------------------------------------------------- before and after

    def _set(self, scene: Scene) -> None:
        self._scene = scene
        self._history, self._lost, self._renames = [], False, 0
        self._platform.clear_requests()
        grant, answer = self.lineage.begin(self._platform.user)
        self._clock.now = 1e9
        token = token_from(answer, 1e9)
        token = attrs.evolve(token, expires_at=1e9 + LIFE)
        self._first = attrs.evolve(self._template, login_id=f"{grant}", token=token)
        if scene.spent:
            self._platform._token_server.refresh(answer["refresh_token"])
            mark = RefreshMark(hash_of(answer["refresh_token"]), 1e9)
            self._first = attrs.evolve(self._first, refresh_sent=mark)
        self._clock.now += NOW[scene.token] * LIFE / 100
        for name in os.listdir(self._folder):
            if name.endswith(".tmp"):
                os.unlink(os.path.join(self._folder, name))
        with open(self._session_file, "wb") as file:
            file.write(encode(self._first))
        os.chmod(self._session_file, 0o600)
        self._stores = [self._store(0)]
        for number in range(1, len(scene.scripts)):
            one = scene.cast == "one store"
            self._stores.append(self._stores[0] if one else self._store(number))

    @property
    def _session_file(self) -> str:
        return os.path.join(self._folder, "session.toml")

    def _store(self, number: int) -> ConfigStore:
        storage = FileStorage(self._folder)
        if self._scene.cast == "processes":
            storage.location += "/." * number
        _unsaved.drop(storage.location)
        return ConfigStore(storage=storage, clock=self._clock, http=self._http)

    def _on_disk(self) -> Optional[Session]:
        """Read without a step."""
        try:
            with open(self._session_file, "rb") as file:
                return decode(file.read())
        except FileNotFoundError:
            return None

    def _is_ahead(self, session: Optional[Session]) -> bool:
        """Whether the authorization server has answered what is not on the disk."""
        login = self.lineage.login(session)
        return login is not None and self.lineage.newest(login.grant) > login.number

    # -------------------------------------------------------------------- one actor

    def _play(self, store: ConfigStore, script: Sequence[str]) -> Callable[[], None]:
        answers = {
            name: self.lineage.begin(self._platform.user)
            for name in script
            if name == "login"
        }

        def play() -> None:
            for action in script:
                self._do(store, action, answers)

        return play

    def _shown(self, store: ConfigStore) -> Optional[Login]:
        return self.lineage.login(store._binding.snapshot.session)

    def _do(
        self,
        store: ConfigStore,
        action: str,
        answers: Mapping[str, Tuple[int, Mapping[str, Any]]],
    ) -> None:
        name, _, target = action.partition(":")
        argument: object = target
        if name == "login":
            argument = self._new_login(answers[name][0])
        did = Did(name, self._shown(store), argument)
        begin = self._stage.tick()
        try:
            if name == "login":
                store._log_in_with_answer(
                    answers[name][1], self._platform.url, Deadline(30.0)
                )
                value = None
            elif name == "read":
                value = store.reload()  # type: ignore[func-returns-value]
            else:
                value = getattr(store, name)(*filter(None, [target]))
            if value is not None:
                did = did._replace(token=self.lineage.label(digest(value)))
        except ConfigError as error:
            did = did._replace(error=type(error).__name__)
        except Killed:
            self._lost = self._lost or self._is_ahead(self._on_disk())
            did = did._replace(died=True)
            raise
        finally:
            refuses = bool(self._scene.refused)
            # What failed in its second part may show what came of its first.
            unclear = refuses or did.died or (name == "fetch" and did.error is not None)
            if self._scene.cast != "one store" and not unclear:
                did = did._replace(shows=visible(self._shown(store)))
            self._history += act(begin, self._stage.tick(), did, refuses=refuses)

    def _new_login(self, grant: int) -> Login:
        choice = self.lineage.login(self._template)
        assert choice is not None
        return Login(grant, 0, NOW[self._scene.token], choice.choice)

    # ---------------------------------------------------------------------- judgment

    def _judge(self, scene: Scene) -> None:
        died = [actor.killed for actor in self._stage.actors if actor.killed]
        for store in self._stores:
            _unsaved.save(store._storage.location, 1.0)
        found = self._on_disk()
        last = Did("disk", argument=self.lineage.login(found), shows=None)
        now = self._stage.tick()
        history = [*self._history, *act(now, now, last)]
        spec = Spec(NOW[scene.token], OFFERS, refuses=bool(scene.refused))
        first = self.lineage.login(self._first)
        told = "\n".join(map(str, [first, *history]))
        assert linearize(history, spec.apply, first) is not None, told
        reused = self._platform.count(reuse_detected=True)
        assert reused <= int(self._lost or scene.spent), told
        if not died and not scene.spent:
            assert not self._is_ahead(found), f"an answer is lost\n{told}"
        if not died:
            left = [one for one in os.listdir(self._folder) if one.endswith(".tmp")]
            assert left == [], told
        for name in ("commit", "refresh"):
            assert not is_held(self._folder, name), told
        if scene.cast == "one store":
            shown = visible(self._shown(self._stores[0]))
            assert visible(self.lineage.login(found)) == shown, told
