"""docker's credential helper: the real protocol, docker's own file, docker itself."""

from __future__ import annotations

import base64
import errno
import io
import json
import os
import socket
import ssl
import stat
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Dict, List, Mapping

import attrs
import pytest
import requests
import trustme
from cli import ROOT, environment, run, spawn, stream
from common import Login, needs
from samples import identity
from wire import Wire, http

from neuro_config import ConfigStore
from neuro_config._catalog import Catalog
from neuro_config._docker import (
    PROGRAM,
    answer,
    registry_hosts,
    registry_of,
    serve,
)
from neuro_config._docker_config import HELPER, config_file, install, uninstall
from neuro_config._errors import UserConfigError
from neuro_config.testing import ExpiresIn, Platform

NOT_FOUND = "credentials not found in native keychain"


@attrs.frozen
class Said:
    """What the helper answered."""

    code: int
    out: str
    err: str


def ask(*arguments: str, said: str = "") -> Said:
    """Be the helper in this process."""
    out, err = stream(), stream()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(
        err
    ):
        patch.setattr(sys, "argv", [PROGRAM, *arguments])
        patch.setattr(sys, "stdin", stream(said))
        with pytest.raises(SystemExit) as ended:
            serve()
    out.seek(0)
    err.seek(0)
    return Said(int(ended.value.code or 0), out.read(), err.read())


def start(*arguments: str, said: str = "") -> Said:
    """Run the helper as docker does."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "neuro_config._docker", *arguments],
        input=said,
        capture_output=True,
        text=True,
        env=environment(),
    )
    return Said(done.returncode, done.stdout, done.stderr)


def get(server: str) -> Said:
    return ask("get", said=server)


@pytest.fixture
def store(login: Login, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigStore:
    """A login that the helper finds, on a platform with one registry for all."""
    monkeypatch.setenv("NEUROMATION_CONFIG", str(folder))
    return login()


@pytest.fixture
def host(platform: Platform) -> str:
    """The one registry, as docker names it."""
    return f"127.0.0.1:{platform.url.port}"


def with_registries(platform: Platform, store: ConfigStore, *urls: str) -> ConfigStore:
    """Log in where each cluster has a registry of its own."""
    token = platform.issue_access_token()
    config = requests.get(
        f"{platform.url}/config", headers={"Authorization": f"Bearer {token}"}
    ).json()
    for cluster, url in zip(config["clusters"], urls):
        cluster["registry_url"] = url
    platform.faults.config.answer(200, config)
    platform.log_in(store)
    return store


REGISTRIES = (
    "https://registry.one.example",
    "https://registry.two.example:5000/v2/",
    "https://REGISTRY.one.example:443/other",
)


class TestGet:
    @pytest.mark.parametrize(
        "server",
        ["{}", "http://{}", "{}/", "{}/v2/", "http://{}/acme/img", " {}\n"],
    )
    def test_ours(self, store: ConfigStore, host: str, server: str) -> None:
        """The registry of a cluster gets the token as the password of "token"."""
        asked = server.format(host)
        said = get(asked)
        assert (0, "") == (said.code, said.err)
        assert {
            "ServerURL": asked.strip(),
            "Username": "token",
            "Secret": store.token(),
        } == json.loads(said.out)

    @pytest.mark.parametrize(
        "server",
        [
            "index.docker.io",
            "https://index.docker.io/v1/",
            "127.0.0.1",
            "127.0.0.1:1",
            "localhost:{}",
            "https://127.0.0.1:{}",
            "ftp://127.0.0.1:{}",
            "127.0.0.1:{}@evil.example",
            "evil.example@127.0.0.1:{}",
            "http://evil.example\\@127.0.0.1:{}",
            "evil.example#@127.0.0.1:{}",
            "evil.example?127.0.0.1:{}",
            "127.0.0.1:{} evil.example",
            "127.0.0.1:{}\nevil.example",
            "127.0.0.1:99999",
            "127.0.0.1:{}.evil.example",
            "[::1",
            "\0",
        ],
    )
    def test_others(self, store: ConfigStore, host: str, server: str) -> None:
        """Nobody else gets anything, in the words that docker knows."""
        said = get(server.replace("{}", host.partition(":")[2]))
        assert Said(1, f"{NOT_FOUND}\n", "") == said

    def test_nothing(self, store: ConfigStore) -> None:
        """No server is an error in the words that docker knows."""
        assert Said(1, "no credentials server URL\n", "") == get(" \n")

    def test_expired(
        self, platform: Platform, login: Login, folder: Path, host: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """A token that has expired is refreshed first."""
        monkeypatch.setenv("NEUROMATION_CONFIG", str(folder))
        platform.tokens.expires_in = 0.2
        store = login()
        old = store._session("token").token.access_token  # token() may refresh it
        time.sleep(0.3)
        platform.tokens.expires_in = ExpiresIn.LIFE
        secret = json.loads(get(host).out)["Secret"]
        assert old != secret
        store.reload()
        assert store.token() == secret
        assert 1 == platform.count("token", grant_type="refresh_token")

    def test_logged_out(self, store: ConfigStore, host: str) -> None:
        """Logged out, docker may go on without a password, and the person is told."""
        store.logout()
        expected = "Nobody is logged in: neuro-config login\n"
        assert Said(1, f"{NOT_FOUND}\n", expected) == get(host)

    def test_ended(self, store: ConfigStore, host: str, platform: Platform) -> None:
        """What keeps a token from being had is told to docker, which shows it."""
        platform.revoke_all()
        later = ConfigStore(store.path, clock=lambda: time.time() + 7200)
        said = answer("get", host, lambda: later)
        assert 1 == said.code
        assert "The login is over: log in again." in said.out

    def test_damaged(self, store: ConfigStore, host: str) -> None:
        """A damaged login is an error and not "not found"."""
        (store.path / "session.toml").write_bytes(b"")
        said = get(host)
        assert 1 == said.code
        assert "session.toml: is empty" in said.out

    def test_in_the_clear(self, platform: Platform, folder: Path) -> None:
        """The token is not given for a registry that would be asked in the clear."""
        store = ConfigStore(folder)
        with_registries(platform, store, "http://registry.one.example")
        said = answer("get", "registry.one.example", lambda: store)
        assert 1 == said.code
        assert "must be https" in said.out
        assert str(store.token()) not in said.out

    @pytest.mark.parametrize(
        ("server", "expected"),
        [
            ("registry.one.example", 0),
            ("REGISTRY.one.example:443", 0),
            ("https://registry.one.example/v2/", 0),
            ("registry.two.example:5000", 1),
            ("registry.two.example", None),
            ("http://registry.one.example", None),
            ("registry.one.example.evil.example", None),
            ("evil-registry.one.example", None),
        ],
    )
    def test_registries(
        self, platform: Platform, folder: Path, server: str, expected: int
    ) -> None:
        """Host, port and scheme have to be the registry's."""
        store = with_registries(platform, ConfigStore(folder), *REGISTRIES)
        found = registry_of(store, server)
        urls = [str(cluster.registry_url) for cluster in store.clusters.values()]
        assert (None if expected is None else urls[expected]) == found

    def test_secrets(self, store: ConfigStore, host: str) -> None:
        """The answer shows its secret to docker, and to no repr."""
        given = answer("get", host, lambda: store)
        assert str(store.token()) in given.out
        assert str(store.token()) not in repr(given)


class TestEnds:
    def test_interrupted(
        self, store: ConfigStore, host: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ctrl-C ends it as a shell expects, without a word."""

        def interrupt(self: ConfigStore) -> str:
            raise KeyboardInterrupt

        monkeypatch.setattr(ConfigStore, "token", interrupt)
        assert Said(130, "", "") == get(host)

    def test_system(
        self, store: ConfigStore, host: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the system refuses is one line."""

        def fail(self: ConfigStore) -> str:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(ConfigStore, "token", fail)
        assert Said(1, "", f"{PROGRAM}: Input/output error.\n") == get(host)

    def test_an_answer_that_cannot_be_written(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An answer that cannot be written is one line, and is not tried again."""

        class Full(io.StringIO):
            def write(self, text: str) -> int:
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(sys, "argv", [PROGRAM, "version"])
        err = stream()
        with redirect_stdout(Full()), redirect_stderr(err):
            with pytest.raises(SystemExit) as ended:
                serve()
            assert None is sys.stdout
        err.seek(0)
        expected = (1, f"{PROGRAM}: No space left on device.\n")
        assert expected == (ended.value.code, err.read())

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
    def test_nobody_takes_the_answer(self) -> None:
        """Where the answer cannot be written, that is one line, as a process too."""
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "neuro_config._docker", "version"],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                env=environment(),
            )
        expected = f"{PROGRAM}: No space left on device.\n"
        assert (1, expected) == (done.returncode, done.stderr)

    def test_words(self, store: ConfigStore, host: str) -> None:
        """docker is told of commands, and of no calls of the library."""
        (catalog,) = store.path.glob("catalog-*")
        catalog.write_bytes(b"{}\n")
        said = get(host)
        assert 1 == said.code
        assert "Run neuro-config fetch to mend it." in said.out
        assert "()" not in said.out
        assert 1 == said.out.count("\n")


def test_clusters_are_read_as_far_as_needed(
    platform: Platform, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The current cluster is read first, and nothing behind the one that is meant."""
    store = with_registries(platform, ConfigStore(folder), *REGISTRIES)
    store.switch_cluster("farm")
    read: List[str] = []
    cluster = Catalog.cluster

    def noted(self: Catalog, name: str) -> Any:
        read.append(name)
        return cluster(self, name)

    monkeypatch.setattr(Catalog, "cluster", noted)
    assert registry_of(store, "registry.two.example:5000") is not None
    assert ["farm"] == read
    assert registry_of(store, "registry.one.example") is not None
    assert ["farm", "farm", "default"] == read


def test_a_choice_that_is_wrong(store: ConfigStore, host: str) -> None:
    """A local file that chooses wrongly keeps no registry from its token."""
    Path(".neuro.toml").write_text("job.cluster-name = 1\n")
    assert 0 == get(host).code


class TestOtherActions:
    def test_list(self, store: ConfigStore, host: str) -> None:
        """The registries are listed with the name of the user."""
        said = ask("list", said="unused")
        assert ({host: "token"}, 0) == (json.loads(said.out), said.code)
        store.logout()
        assert Said(0, "{}\n", "") == ask("list")

    def test_version(self) -> None:
        """The version is told, without a login."""
        said = ask("version")
        assert 0 == said.code
        assert said.out.startswith(f"{PROGRAM} (neuro_config) v")

    @pytest.mark.parametrize("arguments", [[], ["push"], ["get", "get"]])
    def test_usage(self, arguments: List[str]) -> None:
        """Anything else is told how to ask."""
        expected = f"Usage: {PROGRAM} get|store|erase|list|version\n"
        assert Said(1, expected, "") == ask(*arguments)

    @pytest.mark.parametrize("username", ["token", "<token>"])
    def test_store_ours(self, store: ConfigStore, host: str, username: str) -> None:
        """What comes from "get" is taken, and not kept."""
        before = sorted(os.listdir(store.path))
        given = {"ServerURL": host, "Username": username, "Secret": "pw"}
        assert Said(0, "", "") == ask("store", said=json.dumps(given))
        assert before == sorted(os.listdir(store.path))

    @pytest.mark.parametrize(
        "changes",
        [
            {"Username": "bob"},
            {"Username": None},
            {"ServerURL": "index.docker.io"},
            {"ServerURL": 1},
        ],
    )
    def test_store_others(
        self, store: ConfigStore, host: str, changes: Mapping[str, Any]
    ) -> None:
        """Any other password is refused, so that nobody takes it for kept."""
        given = {"ServerURL": host, "Username": "token", "Secret": "pw-x", **changes}
        said = ask("store", said=json.dumps(given))
        assert 1 == said.code
        assert "keeps no passwords" in said.out
        assert "pw-x" not in said.out + said.err

    def test_store_logged_out(self, store: ConfigStore, host: str) -> None:
        """Logged out there is nothing to which a password could belong."""
        store.logout()
        given = {"ServerURL": host, "Username": "token", "Secret": "pw"}
        assert "keeps no passwords" in ask("store", said=json.dumps(given)).out

    @pytest.mark.parametrize("said", ["", "[]", "{", "[" * 100_000])
    def test_store_garbage(self, store: ConfigStore, said: str) -> None:
        """What is no JSON object is refused."""
        expected = "What is to be stored is no JSON object.\n"
        assert Said(1, expected, "") == ask("store", said=said)

    def test_erase(self, store: ConfigStore, host: str) -> None:
        """ "docker logout" does not fail, and the person learns what ends the login."""
        said = ask("erase", said=host)
        assert (0, "") == (said.code, said.out)
        assert "neuro-config logout ends the login" in said.err
        assert 0 == get(host).code


def test_processes(store: ConfigStore, host: str) -> None:
    """As processes, the actions answer the same, over pipes."""
    ours = {"ServerURL": host, "Username": "token", "Secret": "pw"}
    for action, said in [
        ("get", host),
        ("get", "index.docker.io"),
        ("get", ""),
        ("list", "unused"),
        ("store", json.dumps(ours)),
        ("store", "\xff"),
        ("erase", host),
        ("version", ""),
        ("push", ""),
    ]:
        assert ask(action, said=said) == start(action, said=said)


def test_many_processes(
    platform: Platform, login: Login, folder: Path, host: str
) -> None:
    """Many helpers at once, of a build with many stages, send one refresh."""
    platform.tokens.expires_in = 0.2
    login()
    time.sleep(0.3)
    platform.tokens.expires_in = ExpiresIn.LIFE
    command = [sys.executable, "-m", "neuro_config._docker", "get"]
    env = environment(NEUROMATION_CONFIG=str(folder))
    helpers = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True
        )
        for _ in range(6)
    ]
    answers = {helper.communicate(host)[0] for helper in helpers}
    assert 1 == len(answers)
    assert "token" == json.loads(answers.pop())["Username"]
    assert 1 == platform.count("token", grant_type="refresh_token")


# ------------------------------------------------------------ docker's own file


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """docker's file, not made yet."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "docker" / "config.json"


def write(path: Path, data: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(data if isinstance(data, str) else json.dumps(data))


class TestInstall:
    def test_where(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The option wins over $DOCKER_CONFIG, which wins over ~/.docker."""
        monkeypatch.setenv("DOCKER_CONFIG", "")
        assert f"{os.environ['HOME']}/.docker/config.json" == config_file()
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        assert str(tmp_path / "config.json") == config_file()
        assert f"{os.getcwd()}/here/config.json" == config_file("here")

    def test_new(self, config: Path) -> None:
        """Without a file, a private one is made, as docker writes it."""
        assert {"one": None, "two": None} == install(str(config), ["one", "two"])
        helpers = {"one": HELPER, "two": HELPER}
        assert json.dumps({"credHelpers": helpers}, indent="\t") == config.read_text()
        assert 0o600 == stat.S_IMODE(config.stat().st_mode)
        assert 0o700 == stat.S_IMODE(config.parent.stat().st_mode)

    def test_all_else_stays(self, config: Path) -> None:
        """Only our entries are added; order, other helpers and mode stay."""
        before = {
            "auths": {"ghcr.io": {"auth": "eDp5"}},
            "psFormat": "\u00e9 {{.ID}} <\ud800>",
            "credHelpers": {"gcr.io": "gcloud", "one": "apolo"},
            "big": 12345678901234567890,
        }
        write(config, before)
        config.chmod(0o640)
        assert {"one": "apolo", "two": None} == install(str(config), ["one", "two"])
        helpers = {"gcr.io": "gcloud", "one": HELPER, "two": HELPER}
        expected: Dict[str, Any] = {**before, "credHelpers": helpers}
        found = json.loads(config.read_text())
        assert (expected, list(expected)) == (found, list(found))
        assert 0o640 == stat.S_IMODE(config.stat().st_mode)

    def test_again(self, config: Path) -> None:
        """What is installed already is not written again."""
        install(str(config), ["one"])
        before = identity(config)
        assert {} == install(str(config), ["one"])
        assert before == identity(config)

    def test_a_link(self, config: Path, tmp_path: Path) -> None:
        """A link stays one."""
        target = tmp_path / "dotfiles.json"
        write(target, {})
        config.parent.mkdir()
        config.symlink_to(target)
        install(str(config), ["one"])
        assert config.is_symlink()
        assert {"credHelpers": {"one": HELPER}} == json.loads(target.read_text())

    def test_an_empty_file(self, config: Path) -> None:
        """An empty file is what docker takes it for."""
        write(config, "")
        install(str(config), ["one"])
        assert {"credHelpers": {"one": HELPER}} == json.loads(config.read_text())

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("{", r"is not JSON: .* \(at line 1, column 2\)"),
            ('{"a": 1,\n  b}', r"is not JSON: .* \(at line 2, column 3\)"),
            ("[]", "is no JSON object"),
            ('{"a": NaN}', "is not JSON"),
            ('{"a": 1e999}', "is not JSON"),
            ('{"a":' * 900 + "1.5" + "}" * 900, "is nested too deeply to be changed"),
            ('{"a": ' + "9" * 5000 + "}", "is not JSON"),
            ('{"credHelpers": {"one": ["x"]}}', "credHelpers: must name a helper"),
            ("[" * 100_000, "is not JSON"),
            ('{"credHelpers": []}', "credHelpers: must be an object"),
            ("\ufeff{}", "is not JSON"),
        ],
    )
    def test_what_docker_does_not_write(
        self, config: Path, text: str, words: str
    ) -> None:
        """A file that is not docker's is an error, and stays."""
        write(config, text)
        for change in (lambda path: install(path, ["one"]), uninstall):
            with pytest.raises(UserConfigError, match=words):
                change(str(config))
        assert text == config.read_text()

    def test_what_is_not_utf8(self, config: Path) -> None:
        """A file in another encoding is an error that says so."""
        write(config, "")
        config.write_bytes(b'{"a": "\xff"}')
        with pytest.raises(UserConfigError, match="is not UTF-8"):
            install(str(config), ["one"])

    def test_uninstall(self, config: Path) -> None:
        """All our entries go, whoever is logged in, and nothing else."""
        write(config, {"auths": {}, "credHelpers": {"gcr.io": "gcloud", "old": HELPER}})
        install(str(config), ["one"])
        assert ("old", "one") == uninstall(str(config))
        expected = {"auths": {}, "credHelpers": {"gcr.io": "gcloud"}}
        assert expected == json.loads(config.read_text())
        assert () == uninstall(str(config))

    def test_uninstall_the_last(self, config: Path) -> None:
        """No empty table is left."""
        install(str(config), ["one"])
        uninstall(str(config))
        assert "{}" == config.read_text()

    def test_uninstall_nothing(self, config: Path) -> None:
        """Without a file there is nothing to do, and none is made."""
        assert () == uninstall(str(config))
        assert not config.parent.exists()

    def test_hosts(self, platform: Platform, folder: Path) -> None:
        """docker names a registry by its host, and by its port where that is not 443."""
        store = with_registries(platform, ConfigStore(folder), *REGISTRIES)
        expected = ["registry.one.example", "registry.two.example:5000"]
        assert expected == registry_hosts(store)

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("https://[::1]:5000/", ["[::1]:5000"]),
            ("http://127.0.0.1/", ["127.0.0.1"]),
        ],
    )
    def test_odd_hosts(
        self, platform: Platform, folder: Path, url: str, expected: List[str]
    ) -> None:
        """An address is named as it stands in an image's name."""
        store = with_registries(platform, ConfigStore(folder), url, url, url)
        assert expected == registry_hosts(store)
        assert url == registry_of(store, expected[0])


# ------------------------------------------------------------------ the command


class TestCommand:
    def test_install(self, store: ConfigStore, config: Path, host: str) -> None:
        """All clusters' registries are installed, and a JSON form says which."""
        result = run("docker", "install", "--json")
        assert 0 == result.code
        expected = {"path": str(config), "registries": [host], "installed": [host]}
        assert expected == result.data
        assert {"credHelpers": {host: HELPER}} == json.loads(config.read_text())
        assert (
            f"{config}: docker uses this login for {host}."
            in run("docker", "install").out
        )

    def test_replaced(self, store: ConfigStore, config: Path, host: str) -> None:
        """Another helper that was in its place is named."""
        write(config, {"credHelpers": {host: "apolo"}})
        out = run("docker", "install").out
        assert f"For {host} it used 'apolo' until now." in out

    @pytest.mark.parametrize("is_there", [True, False])
    def test_program(
        self,
        store: ConfigStore,
        config: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        is_there: bool,
    ) -> None:
        """Who has the program in no place where docker looks is told."""
        if is_there:
            (tmp_path / PROGRAM).touch(mode=0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        err = run("docker", "install").err
        assert is_there is (f"docker will not find {PROGRAM}" not in err)

    def test_another_directory(
        self, store: ConfigStore, config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With --path, the person learns what docker has to be run with."""
        assert "NEUROMATION_CONFIG" not in run("docker", "install").err
        monkeypatch.delenv("NEUROMATION_CONFIG")
        err = run("docker", "install", "--path", store.path).err
        assert f"NEUROMATION_CONFIG={store.path}" in err

    @pytest.mark.parametrize("action", ["install", "uninstall"])
    def test_an_empty_directory(
        self, store: ConfigStore, config: Path, action: str
    ) -> None:
        """An empty --config is a mistake, and not another directory."""
        result = run("docker", action, "--config", "")
        assert (2, False) == (result.code, config.exists())
        assert "must not be empty" in result.err

    def test_logged_out(self, config: Path) -> None:
        """Without a login nobody knows the registries."""
        assert 3 == run("docker", "install").code
        assert not config.parent.exists()

    def test_no_registry(self, folder: Path, config: Path, platform: Platform) -> None:
        """Without a cluster there is nothing to install."""
        with Platform(clusters=()) as empty:
            empty.log_in(ConfigStore(folder))
        result = run("docker", "install", "--path", folder)
        assert 1 == result.code
        assert "No cluster has a registry" in result.err

    def test_uninstall(self, store: ConfigStore, config: Path, host: str) -> None:
        """It is taken out again, logged out as well."""
        run("docker", "install")
        store.logout()
        result = run("docker", "uninstall", "--config", config.parent, "--json")
        assert {"path": str(config), "uninstalled": [host]} == result.data
        expected = f"{config} does not name neuro-config.\n"
        assert expected == run("docker", "uninstall").out
        run("docker", "install", "--path", store.path)

    def test_uninstall_for_people(self, config: Path) -> None:
        """A sentence says that it is done."""
        write(config, {"credHelpers": {"one": HELPER}})
        expected = f"{config}: docker does not use this login any more.\n"
        assert expected == run("docker", "uninstall").out

    def test_process(self, store: ConfigStore, config: Path, host: str) -> None:
        """As a process it does the same."""
        result = spawn("docker", "install")
        assert 0 == result.code, result.err
        assert {"credHelpers": {host: HELPER}} == json.loads(config.read_text())

    def test_entry_point(self) -> None:
        """The program is installed with the package, under the name that docker wants."""
        rows = (ROOT / "setup.cfg").read_text().splitlines()
        assert f"    {PROGRAM} = neuro_config._docker:serve" in rows


# ------------------------------------------------------------------ docker itself


def registry(wire: Wire, connection: socket.socket) -> None:
    """Be a registry that wants a password, and has no images."""
    has_password = b"authorization: basic " in wire.requests[-1].lower()
    headers = 'WWW-Authenticate: Basic realm="registry"\r\nConnection: close\r\n'
    connection.sendall(http(status=404 if has_password else 401, headers=headers))


@needs("docker")
class TestDocker:
    @pytest.fixture
    def docker(
        self, tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """docker finds the helper in the PATH, and no engine."""
        program = tmp_path / "bin" / PROGRAM
        program.parent.mkdir()
        program.write_text(
            f"#!{sys.executable}\nfrom neuro_config._docker import serve\nserve()\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")

    def call(self, *arguments: str, said: str = "") -> Said:
        done = subprocess.run(
            ["docker", *arguments],
            input=said,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def test_pull(
        self, docker: None, platform: Platform, folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """docker asks the registry with the token of the login."""
        monkeypatch.setenv("NEUROMATION_CONFIG", str(folder))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        with Wire(registry, tls=context) as wire:
            url = f"https://127.0.0.1:{wire.port}"
            store = with_registries(platform, ConfigStore(folder), url, url, url)
            assert 0 == run("docker", "install").code
            image = f"127.0.0.1:{wire.port}/acme/img:1"
            self.call("manifest", "inspect", "--insecure", image)
            sent = [one for one in wire.requests if b"/acme/img/manifests/1" in one]
        password = base64.b64encode(f"token:{store.token()}".encode())
        assert sent
        assert all(b"Authorization: Basic " + password in one for one in sent)

    def test_logout(
        self, docker: None, store: ConfigStore, host: str, config: Path
    ) -> None:
        """ "docker logout" succeeds, and shows what the helper has to say."""
        run("docker", "install")
        before = config.read_bytes()
        said = self.call("logout", host)
        assert 0 == said.code
        assert "neuro-config logout ends the login" in said.err
        assert before == config.read_bytes()
