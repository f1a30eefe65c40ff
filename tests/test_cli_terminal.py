"""The command as a process: pipes, terminals, signals, shells."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Dict, Iterator

import pytest
from cli import Result, Terminal, command, environment, spawn
from common import CLUSTERS, PROJECTS, Login, free_urls, needs
from test_callback import is_free

from neuro_config import ConfigStore, _demo
from neuro_config.testing import ClusterSpec, Platform


@pytest.fixture(autouse=True)
def _in_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command find the store that the test logs in."""
    monkeypatch.setenv("NEUROMATION_CONFIG", str(folder))


@pytest.fixture
def platform() -> Iterator[Platform]:
    """A platform whose callback ports are this test's own."""
    with Platform(
        clusters=CLUSTERS, projects=PROJECTS, callback_urls=free_urls()
    ) as platform:
        yield platform


def test_streams(login: Login) -> None:
    """A token goes to the standard output, an error to the standard error."""
    store = login()
    assert Result(0, f"{store.token()}\n", "") == spawn("token")
    result = spawn("switch-cluster", "moon")
    assert (5, "") == (result.code, result.out)
    assert result.err.startswith("Error: Cluster 'moon' does not exist; available: ")
    assert 1 == result.err.count("\n")


def test_colours_on_a_terminal_only(login: Login) -> None:
    """A terminal gets colours, a pipe and NO_COLOR do not, whatever FORCE_COLOR says."""
    login()
    on_terminal = Terminal.start(command("status")).end()
    assert "\x1b[1m" in on_terminal.out
    plain = Terminal.start(command("status"), NO_COLOR="1").end()
    assert "\x1b" not in plain.out
    piped = spawn("status", env={"FORCE_COLOR": "1"})
    assert "\x1b" not in piped.out + piped.err
    failed = Terminal.start(command("switch-cluster", "moon")).end()
    assert (5, True) == (failed.code, "\x1b[31m" in failed.out)


def test_eighty_columns(login: Login, folder: Path) -> None:
    """What a terminal of 80 columns shows has no longer line."""
    with Platform() as platform:
        platform.log_in(ConfigStore(folder))
    for name in ("status", "clusters", "presets", "--help"):
        shown = Terminal.start(command(name), NO_COLOR="1").end()
        assert 0 == shown.code
        assert max(map(len, shown.out.splitlines())) <= 80, shown.out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_letter_that_the_terminal_lacks(login: Login, encoding: str) -> None:
    """A letter that an encoding lacks is no reason to fail, nor to print less."""
    login()
    Path(".neuro.toml").write_text('job.project-name = "a\u0142b"', encoding="utf-8")
    env = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"}
    expected = re.compile("Project +a(\u0142|\\\\u0142)b ")
    assert expected.search(spawn("status", env=env).out)
    shown = Terminal.start(command("status"), NO_COLOR="1", **env).end()
    assert expected.search(shown.out)
    failed = spawn("switch-project", "a", env=env)
    assert 11 == failed.code
    assert re.search("a(\u0142|\\\\u0142)b", failed.err)


def test_a_path_that_is_no_text(tmp_path: Path) -> None:
    """A directory whose name is no UTF-8 is shown as far as it can be."""
    path = os.fsencode(tmp_path) + b"/\xff"
    done = subprocess.run(
        [*map(os.fsencode, command("--path")), path, b"status"],
        env=environment(PYTHONUTF8="1"),
        capture_output=True,
        check=False,
    )
    assert (0, b"") == (done.returncode, done.stderr)
    assert b"\\udcff" in done.stdout


def test_nobody_reads_on(login: Login) -> None:
    """A reader that goes away early is no reason for words."""
    login()
    reads, writes = os.pipe()
    os.close(reads)
    for name in ("presets", "--help"):
        done = subprocess.run(
            command(name),
            env=environment(),
            stdout=writes,
            stderr=subprocess.PIPE,
            check=False,
        )
        assert (1, b"") == (done.returncode, done.stderr)
    os.close(writes)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk(login: Login) -> None:
    """Output that cannot be written is one line of an error."""
    login()
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command("token"),
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    expected = (1, "Error: [Errno 28] No space left on device\n")
    assert expected == (done.returncode, done.stderr)


def test_login_on_a_terminal(platform: Platform, folder: Path) -> None:
    """A login with a browser shows the URL, a spinner while it waits, and who is in."""
    # Goes where a URL leads, when the spinner has been seen.
    browser = (
        "import sys, time, urllib.request as r; time.sleep(.5); r.urlopen(sys.argv[1])"
    )
    terminal = Terminal.start(
        command("login", "--url", platform.url),
        BROWSER=f"{sys.executable} -c '{browser}' %s",
    )
    terminal.wait_for("Waiting for the login")
    result = terminal.end()
    assert 0 == result.code
    assert f"If no browser opens, go to\n{platform.url.origin()}/auth?" in result.out
    last = result.out.split("Logged in to ")[1]
    expected = (
        f"{platform.url} as alice.\nNow: cluster default, org acme, project main.\n"
    )
    assert expected == last
    assert "alice" == ConfigStore(folder).username


def test_ctrl_c(platform: Platform, folder: Path) -> None:
    """Ctrl-C ends a waiting login with 130, without a traceback, and frees the port."""
    terminal = Terminal.start(
        command("login", "--url", platform.url), BROWSER="true %s"
    )
    terminal.wait_for("state=")
    callback = platform._app.site.callback_urls[0]
    assert not is_free(callback)
    terminal.process.send_signal(signal.SIGINT)
    result = terminal.end()
    assert 130 == result.code
    assert result.out.endswith("Aborted.\n")
    assert "Traceback" not in result.out
    assert is_free(callback)
    assert not folder.exists()


def test_ctrl_c_in_the_demo(tmp_path: Path) -> None:
    """Ctrl-C while the demo's processes run ends all of them, in one word."""
    folder = tmp_path / "pids"
    folder.mkdir()
    ask = f"import os, time; open(f'{folder}/{{os.getpid()}}', 'w'); time.sleep(60)"
    code = (
        "from neuro_config import _demo, __main__\n"
        f"_demo.LIFE = 0.1\n_demo.ASK = {ask!r}\n__main__.main()"
    )
    with Terminal.start([sys.executable, "-c", code, "demo"]) as terminal:
        while len(list(folder.iterdir())) < _demo.PROCESSES:
            assert terminal.process.poll() is None
            time.sleep(0.01)
        os.killpg(terminal.process.pid, signal.SIGINT)  # as a terminal does
        result = terminal.end()
    assert 130 == result.code
    assert result.out.endswith("Aborted.\n")
    assert "Traceback" not in result.out
    for path in folder.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name), 0)


def test_a_token_that_is_typed(platform: Platform, folder: Path) -> None:
    """A token that is typed at a terminal is not shown."""
    token = platform.issue_access_token()
    terminal = Terminal.start(command("login", "--url", platform.url, "--token", "-"))
    terminal.wait_for("Token: ")
    terminal.send(f"{token}\n")
    result = terminal.end()
    assert 0 == result.code
    assert token not in result.out
    assert token == ConfigStore(folder).token()


# --------------------------------------------------------------------- completion


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """A folder with the command ``neuro-config``, as an installation makes it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "neuro-config"
    script.write_text(
        f"#!{sys.executable}\nfrom neuro_config.__main__ import main\nmain()\n"
    )
    script.chmod(0o755)
    return folder


SHELLS: Dict[str, str] = {
    # What a shell does for <tab>, as far as that works without a person.
    "bash": """
        eval "$(_NEURO_CONFIG_COMPLETE=bash_source neuro-config)"
        COMP_WORDS=(neuro-config switch-cluster "") COMP_CWORD=2
        $(complete -p neuro-config | sed 's/.*-F \\([^ ]*\\) .*/\\1/') neuro-config "" ""
        echo "${COMPREPLY[@]}"
    """,
    "zsh": """
        compdef() {}
        compadd() { echo $completions }
        eval "$(_NEURO_CONFIG_COMPLETE=zsh_source neuro-config)"
        words=(neuro-config switch-cluster "") CURRENT=3
        _neuro_config_completion
    """,
    "fish": """
        _NEURO_CONFIG_COMPLETE=fish_source neuro-config | source
        echo (complete -C "neuro-config switch-cluster ")
    """,
}


@pytest.mark.parametrize(
    "shell", [pytest.param(shell, marks=needs(shell)) for shell in SHELLS]
)
def test_completion(login: Login, bin_folder: Path, shell: str) -> None:
    """A shell completes the names of clusters, quietly, and nothing when logged out."""
    store = login()
    script = bin_folder / f"script.{shell}"
    script.write_text(textwrap.dedent(SHELLS[shell]))
    path = os.pathsep.join([str(bin_folder), os.environ["PATH"]])

    def ask() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(shutil.which(shell)), str(script)],
            env=environment(PATH=path),
            capture_output=True,
            text=True,
            check=False,
        )

    done = ask()
    assert ("default farm lab\n", "") == (done.stdout, done.stderr)
    store.logout()
    done = ask()
    assert ("", "") == (done.stdout.strip(), done.stderr)


@needs("bash")
def test_a_name_is_not_run(
    login: Login, platform: Platform, bin_folder: Path, tmp_path: Path
) -> None:
    """A name that is a command for bash is neither completed nor run with the line."""
    platform.account.clusters = (
        ClusterSpec(name="own", orgs=("acme$(touch x)", "b c")),
    )
    login()
    path = os.pathsep.join([str(bin_folder), os.environ["PATH"]])
    with Terminal.start(
        ["bash", "--norc", "-i"], PATH=path, PS1="ready> ", INPUTRC=os.devnull
    ) as terminal:
        terminal.wait_for("ready> ")
        terminal.send(
            'eval "$(_NEURO_CONFIG_COMPLETE=bash_source neuro-config)"; echo s""et\n'
        )
        terminal.wait_for("set\r\n")
        terminal.send("neuro-config switch-org ac\t; echo do''ne\n")
        terminal.wait_for("done\r\n")
        assert "'ac' does not exist" in terminal.seen
        assert not Path("x").exists()
        terminal.send("neuro-config switch-cluster o\t; echo en''ded\n")
        terminal.wait_for("ended\r\n")
        assert "Now: cluster own" in terminal.seen
        terminal.send("exit\n")
        terminal.end()
