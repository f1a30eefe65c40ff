"""No token in a repr, an error, a log, or a traceback that shows locals."""

from __future__ import annotations

import base64
import json
import logging
import time
import traceback
from pathlib import Path
from typing import Any, Callable, List

import pytest
from common import Clock, Login

import neuro_config
from neuro_config import ConfigError, ConfigStore, LoggedIn
from neuro_config._docker_config import install
from neuro_config._errors import StorageError, UserConfigError
from neuro_config._files import FileStorage
from neuro_config._session import Secret, SecretBytes, Token
from neuro_config.testing import Platform

PACKAGE = str(Path(neuro_config.__file__).parent)


def shown(error: BaseException) -> str:
    """All that a reporter shows which keeps the locals of our frames."""
    found = traceback.TracebackException.from_exception(error, capture_locals=True)
    parts = [repr(error), *found.format_exception_only()]
    seen: List[traceback.TracebackException] = [found]
    while seen:
        one = seen.pop()
        seen.extend(each for each in (one.__cause__, one.__context__) if each)
        for frame in one.stack:
            if frame.filename.startswith(PACKAGE):
                parts.append(repr(frame.locals))
    return "\n".join(parts)


def test_secret() -> None:
    """A secret is the text that it hides."""
    secret = Secret("abc")
    assert "abc" == secret == f"{secret}" == str(secret)
    assert "'***'" == repr(secret) == f"{secret!r}"
    assert {"k": 1} == {Secret("k"): 1}
    assert type(str(secret)) is str
    assert "b'***'" == repr(SecretBytes(b"abc"))
    assert "***" in repr(Token("abc", 1.0, None, "def"))
    assert "def" not in repr(Token("abc", 1.0, None, "def"))


FAULTS = {
    "config 500": lambda p: p.faults.config.answer(500, {"error": "boom"}),
    "config garbage": lambda p: p.faults.config.answer(200, "<html>"),
    "config refused": lambda p: p.faults.config.refuse_tokens(),
    "config dropped": lambda p: p.faults.config.drop(),
    "config redirect": lambda p: p.faults.config.redirect("https://evil.example/"),
    "token 500": lambda p: p.faults.token.answer(500, "boom"),
    "token garbage": lambda p: p.faults.token.answer(200, b"\xff"),
    "token list": lambda p: p.faults.token.answer(200, "[]"),
    "token half": lambda p: p.faults.token.answer(
        200, {"access_token": "canary-of-the-answer", "refresh_token": 5}
    ),
    "token refused": lambda p: p.faults.token.answer(403, "<html>no</html>"),
    "token dead": lambda p: p.faults.token.answer(400, {"error": "invalid_grant"}),
    "token lost": lambda p: p.faults.token.lose_answers(None),
    "all down": lambda p: p.stop(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_failures(
    platform: Platform, login: Login, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    """Whatever fails in a fetch or a refresh, nothing that is shown holds a token."""
    clock = Clock(time.time())
    store = login(clock=clock)
    state = store.state
    assert isinstance(state, LoggedIn)
    token = state.session.token
    secrets = [
        str(token.access_token),
        str(token.refresh_token),
        "canary-of-the-answer",
    ]
    FAULTS[fault](platform)
    actions: List[Callable[[], object]] = [store.fetch, store.refresh_token]
    errors = 0
    with caplog.at_level(logging.DEBUG):
        for after in (0, 3000, 3700):
            clock.now += after
            for action in [*actions, store.token]:
                try:
                    action()
                except ConfigError as error:
                    errors += 1
                    text = shown(error)
                    assert [] == [secret for secret in secrets if secret in text]
    assert errors > 0
    assert [] == [secret for secret in secrets if secret in caplog.text]


def test_logins(platform: Platform, folder: Path) -> None:
    """A login that fails shows none of what it was given."""
    good = platform.issue_access_token()
    fields = {"token": good, "cluster": "nowhere", "url": str(platform.url)}
    passed = [
        base64.b64encode(json.dumps(one).encode()).decode()
        for one in (fields, {"token": good}, [good])
    ]
    store = ConfigStore(folder)
    attempts: List[Callable[[], object]] = [
        lambda: store.login_with_token("canary token", url=platform.url),
        lambda: store.login_with_token("canary", url=platform.url),
        lambda: store.login_with_token(good, url="http://api.example/"),
        lambda: neuro_config.login_with_token("canary token", path=folder),
        lambda: neuro_config.login_with_token("canary", url=platform.url, path=folder),
        *(
            lambda config_data=each: store.login_with_passed_config(config_data)
            for each in passed
        ),
    ]
    for attempt in attempts:
        with pytest.raises(ConfigError) as caught:
            attempt()
        text = shown(caught.value)
        for secret in (good, "canary", *passed):
            assert secret not in text


@pytest.mark.parametrize("end", [b"", b"\xff", b"[token]\n", b"x = [", b"x = 9e"])
@pytest.mark.parametrize("start", [b"schema = 9\n", b"schema = 1\n", b""])
def test_damage(folder: Path, start: bytes, end: bytes) -> None:
    """A damaged file's error shows nothing of it, nor does that of an update."""
    folder.mkdir(mode=0o700)
    data = start + b'[token]\naccess_token = "canary"\n' + end
    (folder / "session.toml").write_bytes(data)
    storage = FileStorage(folder)
    attempts: List[Callable[[], object]] = [
        storage.read,
        lambda: storage.update(lambda old: None, 1.0),
    ]
    for attempt in attempts:
        with pytest.raises(StorageError) as caught:
            attempt()
        assert None is caught.value.__context__
        assert "canary" not in shown(caught.value)


@pytest.mark.parametrize(
    "text", ['{"auths": "canary", "credHelpers": 5}', '["canary"]', '{"a": "canary",,}']
)
def test_dockers_passwords(tmp_path: Path, text: str) -> None:
    """What else docker keeps in its configuration is not shown when that is wrong."""
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(UserConfigError) as caught:
        install(str(path), ["registry.example"])
    assert "canary" not in shown(caught.value)


@pytest.mark.parametrize("token", [b"canary", ["canary"]], ids=["bytes", "list"])
def test_no_text(folder: Path, token: Any) -> None:
    """What is passed as a token and is no text is not shown either."""
    config = base64.b64encode(json.dumps({"token": ["canary"]}).encode()).decode()
    store = ConfigStore(folder)
    attempts: List[Callable[[], object]] = [
        lambda: store.login_with_token(token),
        lambda: neuro_config.login_with_token(token, path=folder),
        lambda: store.login_with_passed_config(config),
    ]
    for attempt in attempts:
        with pytest.raises(ConfigError) as caught:
            attempt()
        assert "canary" not in shown(caught.value)


def test_passed_config_of_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A malformed variable is not shown, nor is the rest of the environment."""
    monkeypatch.setenv("APOLO_PASSED_CONFIG", "canary!")
    monkeypatch.setenv("OTHER_SECRET", "other-canary")
    store = ConfigStore(folder)
    for attempt in (store.login_with_passed_config, lambda: neuro_config.get(folder)):
        with pytest.raises(ConfigError, match="APOLO_PASSED_CONFIG") as caught:
            attempt()
        assert "canary" not in shown(caught.value)
