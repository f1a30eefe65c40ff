"""What all commands share: exit codes, errors, output, options, completion."""

from __future__ import annotations

import inspect
import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Type

import click
import pytest
from cli import Stream, environment, ok, run
from click.shell_completion import ShellComplete
from common import Login

from neuro_config import (
    ConfigError,
    ConfigStore,
    LoginTimeoutError,
    NoProjectError,
    StaleSnapshotError,
    UnknownClusterError,
    UnknownOrgError,
    _errors,
)
from neuro_config._catalog import FETCH_HINT
from neuro_config._cli import COMMANDS, main
from neuro_config._cli._base import Command, Failure, Group, Settings, offerable
from neuro_config._cli._exit_codes import EXIT_CODES, exit_code_of
from neuro_config._local import LocalChoice
from neuro_config._view import Snapshot
from neuro_config._words import shown, words_of
from neuro_config.testing import ClusterSpec, Platform, ProjectSpec


@pytest.fixture(autouse=True)
def _in_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command find the store that the test logs in."""
    monkeypatch.setenv("NEUROMATION_CONFIG", str(folder))


# --------------------------------------------------------------------- exit codes

# The promise, error by error: a new one has to be thought about.
CODES = {
    1: "ConfigError WrongStateError LoginChangedError StaleSnapshotError NoProjectError "
    "UnsupportedSystemError ClientClosedError StoreClosedError LoginPresentError "
    "StorageURLError",
    3: "NotLoggedInError",
    4: "CannotRefreshError AuthError SessionEndedError",
    5: "UnknownNameError UnknownClusterError UnknownOrgError UnknownProjectError "
    "UnknownPresetError NoClusterError",
    6: "NetworkError ConnectionFailedError RequestTimeoutError RefreshPendingError "
    "RefreshFailedError PlatformError TokenRefusedError MalformedAnswerError "
    "StorageUnavailableError",
    7: "LockTimeoutError",
    8: "DamagedFileError NewerSchemaError",
    9: "StorageError UnsafePathError StorageReadError StorageWriteError "
    "InsecureURLError",
    10: "InvalidTokenError PassedConfigError LoginError LoginNotOfferedError "
    "CallbackPortError LoginTimeoutError InvalidCodeError ImportLoginError "
    "LoginDeniedError CodeRefusedError",
    11: "SwitchOverriddenError UserConfigError ProjectRootNotFoundError PluginError",
}


def tree(error: Type[ConfigError] = ConfigError) -> Iterator[Type[ConfigError]]:
    yield error
    for child in error.__subclasses__():
        yield from tree(child)


def test_exit_codes() -> None:
    """Every error of the tree has its exit code, and the numbers are these."""
    expected = {name: code for code, names in CODES.items() for name in names.split()}
    actual = {
        error.__name__: int(exit_code_of(error))
        for error in tree()
        if error.__module__ == _errors.__name__
    }
    assert expected == actual


def test_exit_codes_differ_where_they_are_named() -> None:
    """No error stands in the table with the code that it would inherit anyway."""
    for error, code in EXIT_CODES.items():
        if error is not ConfigError:
            (base, *_) = (one for one in error.__mro__[1:] if one in EXIT_CODES)
            assert EXIT_CODES[base] != code, error


def test_exit_codes_of_real_failures(login: Login, folder: Path) -> None:
    """The process ends with the code of what has happened."""
    assert 3 == run("token").code
    login()
    assert 5 == run("switch-cluster", "moon").code
    assert 6 == run("login", "--url", "http://127.0.0.1:9", "--headless").code
    assert 9 == run("login", "--url", "http://example.org", "--headless").code
    assert 2 == run("switch-cluster").code
    assert 2 == run("no-such-command").code
    (folder / "session.toml").write_text("")
    assert 8 == run("status").code
    folder.chmod(0o777)
    assert 9 == run("token").code


# ------------------------------------------------------------------------- errors


def test_an_error_is_on_stderr_only() -> None:
    """A failure prints one line on the standard error and nothing else."""
    result = run("token")
    expected = "Error: Nobody is logged in. Log in with: neuro-config login\n"
    assert ("", expected) == (result.out, result.err)


def test_debug_shows_the_traceback() -> None:
    """--debug shows where a failure comes from, before or after the command's name."""
    for arguments in (("--debug", "token"), ("token", "--debug")):
        result = run(*arguments)
        assert 3 == result.code
        assert "Traceback (most recent call last)" in result.err
        assert result.err.endswith("Log in with: neuro-config login\n")


def test_a_mistake_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other error is said in two lines, with an exit code of its own."""

    def fail(settings: Settings) -> ConfigStore:
        raise ZeroDivisionError("some text")

    monkeypatch.setattr(Settings, "store", fail)
    result = run("token")
    assert 70 == result.code
    assert (
        "Error: ZeroDivisionError: some text\n"
        "This is a mistake in neuro-config; --debug shows where it is.\n"
    ) == result.err


def test_a_system_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the system is said in its words."""

    def fail(settings: Settings) -> ConfigStore:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Settings, "store", fail)
    result = run("token")
    expected = (1, "Error: [Errno 28] No space left on device\n")
    assert expected == (result.code, result.err)


class Full(Stream):
    """A standard output that cannot be written."""

    fd = -1
    is_full = False

    def fileno(self) -> int:
        return self.fd

    def write(self, text: str) -> int:
        self.is_full = True
        return super().write(text)

    def flush(self) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device")


def test_output_that_cannot_be_written(login: Login, tmp_path: Path) -> None:
    """What the disk does not take is said once; the interpreter tries in vain no more."""
    login()
    full = Full(io.BytesIO(), encoding="utf-8")
    with open(tmp_path / "output", "w") as file:
        full.fd = file.fileno()
        with redirect_stdout(full), redirect_stderr(io.TextIOWrapper(io.BytesIO())):
            with pytest.raises(SystemExit) as ended:
                main(["token"])
            sys.stderr.seek(0)
            said = sys.stderr.read()
        assert os.stat(os.devnull).st_rdev == os.fstat(full.fd).st_rdev
    full.is_full = False
    expected = (1, "Error: [Errno 28] No space left on device\n")
    assert expected == (ended.value.code, said)


@pytest.mark.parametrize(
    ("missing", "code", "words"),
    [
        ("rich", 1, "extra 'cli' (rich is missing): pip install 'neuro_config[cli]'"),
        ("werkzeug", 1, "pip install 'neuro_config[cli,testing]'"),
        ("neuro_config._nothing", 70, "This is a mistake in neuro-config"),
    ],
)
def test_a_missing_module(
    monkeypatch: pytest.MonkeyPatch, missing: str, code: int, words: str
) -> None:
    """Of a module that is missing the extra is named, if there is one."""

    def fail(settings: Settings) -> ConfigStore:
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(Settings, "store", fail)
    result = run("token")
    assert code == result.code
    assert words in result.err


@pytest.mark.parametrize("error", [EOFError, KeyboardInterrupt])
def test_interrupted(
    monkeypatch: pytest.MonkeyPatch, error: Type[BaseException]
) -> None:
    """Ctrl-C, and an input that ends too early, end with 130 and no traceback."""

    def fail(settings: Settings) -> ConfigStore:
        raise error

    monkeypatch.setattr(Settings, "store", fail)
    result = run("token")
    assert (130, "Aborted.") == (result.code, result.err.strip())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            UnknownClusterError("x", ("a",), "fetch() may find newer ones."),
            "Cluster 'x' does not exist; available: 'a'. neuro-config fetch may find "
            "newer ones.",
        ),
        (
            UnknownOrgError(None, ("a",)),
            "No cluster can be used without an org; available: 'a'.",
        ),
        (
            NoProjectError(),
            "No project is chosen: run neuro-config switch-project NAME first.",
        ),
        (
            StaleSnapshotError("LoggedIn", "presets", "/catalog"),
            "presets needs /catalog, which has been cleaned up after newer fetches. "
            "Run the command again.",
        ),
        (
            LoginTimeoutError(300),
            "No browser has brought an answer within 300 s. Log in again and open the "
            "URL that is shown; without a browser on this machine use neuro-config "
            "login --headless.",
        ),
    ],
)
def test_words(error: ConfigError, expected: str) -> None:
    """Where an error names a call of the library, the command that does it is named."""
    assert expected == words_of(error)


def made_of(error: Type[ConfigError]) -> ConfigError:
    """Make an error of a kind, whatever its arguments are."""
    if error.__init__ is ConfigError.__init__:
        return error("some text")
    given: Dict[str, Any] = {
        "available": ("a",),
        "urls": ("http://127.0.0.1",),
        "seconds": 1.0,
    }
    names = [
        name
        for name, one in inspect.signature(error).parameters.items()
        if one.default is one.empty
    ]
    return error(*(given.get(name, f"some-{name}") for name in names))


def test_no_call_is_left_over() -> None:
    """No error's text names a call of the library once it is in the command's words."""
    calls = ("login_headless", "login_with_token", "()", "(name)")
    made = [made_of(error) for error in tree() if error.__module__ == _errors.__name__]
    hints = [Snapshot(None, LocalChoice()).hint(), FETCH_HINT]
    made += [UnknownClusterError("x", ("a",), hint) for hint in hints]
    named = [error for error in made if any(call in str(error) for call in calls)]
    assert len(named) > 5
    left = [error for error in made if any(call in words_of(error) for call in calls)]
    assert [] == left


def test_words_need_no_extra() -> None:
    """Who has no click can say an error in the same words."""
    code = (
        "import sys; sys.modules['click'] = None\n"
        "from neuro_config import NotLoggedInError\n"
        "from neuro_config._words import words_of\n"
        "print(words_of(NotLoggedInError('LoggedOut', 'token')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    expected = "Nobody is logged in. Log in with: neuro-config login\n"
    assert expected == done.stdout


def test_many_names() -> None:
    """Of many names only those are listed that may have been meant."""
    error = UnknownClusterError("cluster-0x", [f"cluster-{n:03}" for n in range(100)])
    text = words_of(error)
    assert text.startswith("Cluster 'cluster-0x' does not exist; did you mean 'cluster")
    assert text.endswith("There are 100; neuro-config clusters lists them.")
    far = UnknownOrgError(None, [None, *map(str, range(100))])
    assert (
        "No cluster can be used without an org. There are 100; neuro-config clusters "
        "lists them."
    ) == words_of(far)


def test_an_error_is_wrapped_where_people_look() -> None:
    """At a terminal the words of an error stay whole, and so does it in a pipe."""
    lines = run("login", "--token", "none", looked_at=True).err.splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 90  # what makes the colour included
    assert 1 == len(run("login", "--token", "none").err.splitlines())


def test_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error is marked red at a terminal, unless NO_COLOR says otherwise."""
    expected = "Error: Nobody is logged in. Log in with: neuro-config login\n"
    assert expected != run("token", looked_at=True).err
    assert "\x1b[31m" in run("token", looked_at=True).err
    monkeypatch.setenv("NO_COLOR", "1")
    assert expected == run("token", looked_at=True).err


@pytest.mark.parametrize("command", ["token", "status", "--help"])
def test_a_dumb_terminal(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """A terminal that obeys nothing gets no colours."""
    monkeypatch.setenv("TERM", "dumb")
    result = run(command, looked_at=True)
    assert "\x1b" not in result.out + result.err


@pytest.mark.parametrize(
    ("line", "words", "command"),
    [
        ("switch-cluster", "'NAME'", " switch-cluster"),
        ("no-such", "'no-such'", ""),
        ("status --no-such", "--no-such", " status"),
        ("docker no-such", "'no-such'", " docker"),
        ("login --token - --headless", "only one of --headless,", " login"),
    ],
)
def test_usage(line: str, words: str, command: str) -> None:
    """A wrong command line is one error like others, and a line that names the help."""
    result = run(*line.split())
    assert (2, "") == (result.code, result.out)
    error, hint = result.err.splitlines()
    assert error.startswith("Error: ")
    assert words in error
    assert f"Try 'neuro-config{command} --help'." == hint


def test_usage_with_a_line_end() -> None:
    """A wrong word with a line end makes no line of its own."""
    expected = "Error: No such command 'a\\nb'.\nTry 'neuro-config --help'.\n"
    assert expected == run("a\nb").err


def test_usage_without_a_context() -> None:
    """An error that knows no command names no help."""
    assert "Wrong." == Failure.of_usage(click.UsageError("Wrong.")).message


def test_no_words_at_all() -> None:
    """Whoever asks for nothing gets the help text."""
    for arguments in ([], ["docker"]):
        result = run(*arguments)
        text = result.out + result.err
        assert text.startswith("Usage: neuro-config")
        assert "Error" not in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("--path", "", "status"),
        ("status", "--path", ""),
        ("--path", "here", "status", "--path="),
        ("login", "--url", ""),
        ("login", "--token", "-", "--url="),
    ],
)
def test_an_empty_value(arguments: Sequence[str]) -> None:
    """An empty --path or --url, of a variable that is not set, is no default."""
    result = run(*arguments, given="")
    assert (2, "") == (result.code, result.out)
    assert "must not be empty.\nTry 'neuro-config" in result.err


def test_a_path_that_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file as directory is the same error from the option and the environment."""
    file = tmp_path / "file"
    file.write_text("")
    by_option = run("--path", file, "token")
    monkeypatch.setenv("NEUROMATION_CONFIG", str(file))
    assert by_option == run("token")
    assert (9, 1) == (by_option.code, by_option.err.count("\n"))


# ------------------------------------------------------------------------- output


def test_shown() -> None:
    """What controls a terminal is shown, not obeyed; letters stay, line ends if asked."""
    text = "\x1b[31mrouge é\r\n\udcff\u202e"
    assert "\\x1b[31mrouge é\\r\n\\udcff\\u202e" == shown(text, lines=True)
    assert "\\x1b[31mrouge é\\r\\n\\udcff\\u202e" == shown(text)


def test_names_from_elsewhere(platform: Platform, login: Login) -> None:
    """A name that the platform sends cannot control the terminal."""
    name = "a\x1b[2J"
    platform.account.projects = (
        ProjectSpec(name=name, cluster_name="default", org_name="acme"),
    )
    login()
    for command in ("clusters", "status", "fetch"):
        assert "a\\x1b[2J" in ok(command)
        assert name not in run(command, looked_at=True).out
    assert "'a\\x1b[2J'" in run("switch-project", "x").err


def test_a_name_makes_no_line(platform: Platform, login: Login) -> None:
    """A name with a line end stays on the line of its name."""
    forged = "main\nError: forged"
    platform.account.projects = (
        ProjectSpec(name=forged, cluster_name="default", org_name="acme"),
    )
    login()
    for command in (["clusters"], ["status"], ["fetch"], ["switch-org", "acme"]):
        out = ok(*command)
        assert "main\\nError: forged" in out
        assert not [line for line in out.splitlines() if line.startswith("Error")]
    failed = run("switch-project", "x\ny")
    assert (5, 1) == (failed.code, failed.err.count("\n"))


def test_no_colours_for_programs(login: Login) -> None:
    """What is not looked at has no colours and is not cut at 80 columns."""
    login()
    assert "\x1b" not in ok("status") + ok("clusters") + ok("presets")


def test_bold_for_people(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets headings in bold, none with NO_COLOR, and the same words."""
    login()
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[1m" in run("clusters", looked_at=True).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert ok("clusters") == run("clusters", looked_at=True).out


def test_narrow(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a narrow terminal a table is folded, not cut."""
    login()
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("NO_COLOR", "1")
    lines = run("clusters", looked_at=True).out.splitlines()
    assert max(map(len, lines)) <= 20
    folded = "".join(line[3:8].strip() for line in lines)
    assert folded.startswith("Clusterdefaultfarm"), lines


# ------------------------------------------------------------------------ options


def commands(group: click.Group = main, path: str = "") -> Iterator[click.Command]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield found
        if isinstance(found, click.Group):
            yield from commands(found, f"{path} {name}")


def test_every_command() -> None:
    """Every command exists, has a help text, and has the common options."""
    assert list(COMMANDS) == main.list_commands(click.Context(main))
    for each in commands():
        assert each.help, each.name
        assert isinstance(each, (Command, Group)) or "json" not in str(each.params)
        assert {"path", "debug"} <= {option.name for option in each.params}, each.name


def test_help_fits() -> None:
    """Every help text fits into 80 columns, and each command has one line there."""
    lines = ok("--help").splitlines()
    assert max(map(len, lines)) <= 80
    listed = [line.split()[0] for line in lines[lines.index("Commands:") + 1 :]]
    assert list(COMMANDS) == listed
    assert not [line for line in lines[1:] if line.endswith("...")]
    for name in COMMANDS:
        assert max(map(len, ok(name, "--help").splitlines())) <= 80


def test_token_loads_no_more_than_it_needs(login: Login, folder: Path) -> None:
    """token imports neither another command nor rich, an HTTP library or a catalog."""
    login()
    code = (
        "import sys\n"
        "from neuro_config.__main__ import main\n"
        "sys.argv[1:] = ['token']\n"
        "try:\n    main()\n"
        "finally:\n    print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(done.stderr.split())
    ours = {name for name in modules if name.startswith("neuro_config._cli.")}
    shared = {"_base", "_completion", "_exit_codes", "_options", "_output"}
    assert {f"neuro_config._cli.{name}" for name in {*shared, "token"}} == ours
    heavy = {"rich", "requests", "yarl", "tomlkit", "decimal", "neuro_config._catalog"}
    assert set() == heavy & modules


# --------------------------------------------------------------------- completion


def completed(*words: str) -> List[str]:
    """Return what a shell offers for the last of the words."""
    *before, incomplete = words
    completion = ShellComplete(main, {}, "neuro-config", "_NEURO_CONFIG_COMPLETE")
    return [item.value for item in completion.get_completions(before, incomplete)]


def test_completion(login: Login, tmp_path: Path) -> None:
    """Commands, clusters, orgs and projects are completed from what is stored."""
    login()
    expected = ["switch-cluster", "switch-org", "switch-project"]
    assert expected == completed("switch")
    assert ["default", "farm", "lab"] == completed("switch-cluster", "")
    assert ["farm"] == completed("switch-cluster", "f")
    assert ["NO_ORG", "acme", "umbrella"] == completed("switch-org", "")
    assert ["side"] == completed("switch-project", "s")
    assert ["lab"] == completed("presets", "--cluster", "l")
    assert [] == completed("--path", str(tmp_path / "other"), "switch-cluster", "")


def test_completion_without_an_org(login: Login, platform: Platform) -> None:
    """'No org' has no name to complete."""
    platform.account.clusters = (ClusterSpec(name="own", orgs=()),)
    login()
    assert [] == completed("switch-org", "")


@pytest.mark.parametrize(
    "name",
    [
        "acme$(touch x)", "`x`", "a b", "back\\slash", "*", "a?", "[a]", "{a,b}", "~", "a;b",
        "a&b", "a|b", "a>b", "a<b", "'a", '"a', "!1", "#a", "(a)", "a^b", "\x1b[2J", "a\u202eb",
        "x\ny", "x\n", "a\tb", "-a", "--help", "", "caf\xe9", "a,b",
    ],
)  # fmt: skip
def test_what_is_not_offered(name: str, login: Login, platform: Platform) -> None:
    """A name that a shell would not take as it is is not offered, the others are."""
    platform.account.clusters = (ClusterSpec(name="own", orgs=(name, "a.B-1_2")),)
    login()
    assert ["a.B-1_2"] == completed("switch-org", "")


def test_offerable() -> None:
    """What means nothing to any shell is offered, 'no name' is not."""
    names = ["a", "A-b_c.d", "a@b", "50%", "a+b", "k=v", "a:b", "a/b"]
    assert names == offerable([None, *names])


def test_completion_of_a_path() -> None:
    """The shell completes the folders for --path by itself."""
    completion = ShellComplete(main, {}, "neuro-config", "_NEURO_CONFIG_COMPLETE")
    (item,) = completion.get_completions(["--path"], "so")
    assert ("so", "dir") == (item.value, item.type)


def test_completion_never_fails(login: Login, folder: Path) -> None:
    """Logged out, on damage, and with a wrong local file nothing is offered."""
    assert [] == completed("switch-cluster", "")
    login()
    Path(".neuro.toml").write_text("job = 1")
    assert [] == completed("switch-project", "")
    (folder / "session.toml").write_text("")
    assert [] == completed("switch-cluster", "")


def test_completion_asks_nobody(login: Login, platform: Platform) -> None:
    """Names are completed offline, with an expired token, too."""
    platform.tokens.life = 0.01
    login()
    platform.stop()
    assert ["farm"] == completed("switch-cluster", "f")


def test_an_extra_argument_is_not_repeated() -> None:
    """What is one argument too many may be a token, and is not shown."""
    found = run("token", "canary")
    assert "Error: Got unexpected extra argument." == found.err.splitlines()[0]
