"""The search for the local file, the names in it, and the reading of one TOML file."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import tempfile
from typing import Iterator, Optional

import pytest
from hypothesis import given, strategies as st

from neuro_config._errors import ProjectRootNotFoundError, UserConfigError
from neuro_config._local import (
    MAX_SIZE,
    LocalChoice,
    StrPath,
    find_local_file,
    find_project_root,
    read_local_choice,
    read_toml,
)
from neuro_config._session import Choice

NOBODY = 65534


@contextlib.contextmanager
def unreadable(data: bytes) -> Iterator[str]:
    """A file that its reader has no permission to read, even if the tests run as root."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = os.path.join(folder, ".neuro.toml")
        pathlib.Path(path).write_bytes(data)
        os.chmod(path, 0)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(NOBODY)
        try:
            yield path
        finally:
            if is_root:
                os.seteuid(0)


def reason_of(path: pathlib.Path) -> str:
    with pytest.raises(UserConfigError) as caught:
        read_toml(str(path))
    assert str(path) == caught.value.path
    assert caught.value.key is None
    return caught.value.reason


@pytest.fixture
def project(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / ".neuro.toml").touch()
    (tmp_path / "src" / "deep").mkdir(parents=True)
    return tmp_path


class TestFindProjectRoot:
    @pytest.mark.parametrize("name", [".neuro.toml", ".apolo.toml"])
    def test_both_names(self, tmp_path: pathlib.Path, name: str) -> None:
        """Either name marks a project."""
        (tmp_path / name).touch()

        assert tmp_path == find_project_root(tmp_path)

    def test_current_directory(
        self, project: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The search begins at the current directory and goes up."""
        monkeypatch.chdir(project / "src" / "deep")

        assert project == find_project_root()

    @pytest.mark.parametrize("path", ["deep", pathlib.Path("deep"), ".", "", ".."])
    def test_relative(
        self,
        project: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
        path: StrPath,
    ) -> None:
        """A relative path, as text or as a Path, counts from the current directory."""
        monkeypatch.chdir(project / "src")

        assert project == find_project_root(path)

    @pytest.mark.parametrize("name", [".neuro.toml", "src/nothing/here"])
    def test_no_folder(self, project: pathlib.Path, name: str) -> None:
        """From a file and from what does not exist the search goes on above it."""
        assert project == find_project_root(project / name)

    def test_nearest(self, project: pathlib.Path) -> None:
        """The nearest folder wins, whichever of the names it has."""
        (project / "src" / ".neuro.toml").touch()
        (project / ".apolo.toml").touch()

        assert project / "src" == find_project_root(project / "src" / "deep")

    def test_only_files(self, project: pathlib.Path) -> None:
        """Folders, pipes and dangling links of that name are passed over."""
        (project / "src" / ".neuro.toml").mkdir()
        os.mkfifo(project / "src" / ".apolo.toml")
        (project / "src" / "deep" / ".neuro.toml").symlink_to("gone")

        assert project == find_project_root(project / "src" / "deep")

    def test_link(self, project: pathlib.Path) -> None:
        """A link to a file is as good as a file."""
        (project / "src" / ".neuro.toml").symlink_to(project / ".neuro.toml")

        assert project / "src" == find_project_root(project / "src")

    def test_not_found(self) -> None:
        """At the root the search ends with an error that names where it began."""
        with pytest.raises(ProjectRootNotFoundError) as caught:
            find_project_root("/")

        assert "/" == caught.value.path
        assert "Neither / nor a folder above it" in str(caught.value)

    def test_deleted_current_directory(
        self, project: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A current directory that has been deleted belongs to no project."""
        monkeypatch.chdir(project / "src" / "deep")
        (project / "src" / "deep").rmdir()

        with pytest.raises(ProjectRootNotFoundError):
            find_project_root()
        assert None is find_local_file()
        assert None is find_local_file("relative")
        assert LocalChoice() == read_local_choice()


class TestReadLocalChoice:
    def test_names(self, project: pathlib.Path) -> None:
        """The three names are read, and nothing else is validated."""
        path = project / ".neuro.toml"
        path.write_text(
            'unknown = 1\nalias = 2\n[job]\ncluster-name = "c"\norg-name = "o"\n'
            'project-name = "p"\nlife-span = 3\n'
        )

        expected = LocalChoice(str(path), Choice("c", "o", "p"))
        assert expected == read_local_choice(str(project / "src"))

    @pytest.mark.parametrize("text", ["", "[job]", "[storage]"])
    def test_no_names(self, project: pathlib.Path, text: str) -> None:
        """A file without names chooses nothing, and is still told."""
        path = project / ".neuro.toml"
        path.write_text(text)

        assert LocalChoice(str(path)) == read_local_choice(str(project))

    def test_newer_name_wins(self, project: pathlib.Path) -> None:
        """Of two files in one folder only .apolo.toml is read."""
        (project / ".neuro.toml").write_text("broken")
        (project / ".apolo.toml").write_text("job.org-name = 'o'")

        expected = LocalChoice(
            str(project / ".apolo.toml"), Choice(None, "o"), error=None
        )
        assert expected == read_local_choice(str(project))

    @pytest.mark.parametrize(
        ("text", "key", "reason"),
        [
            ("a =", None, "is not TOML: Invalid value (at line 1, column 4)."),
            ("\na = ?", None, "is not TOML: Invalid value (at line 2, column 5)."),
            ("job = 1", "job", "must be a table."),
            ("job.cluster-name = 1", "job.cluster-name", "must be a name in quotes"),
            ("job.org-name = ''", "job.org-name", "not an empty one"),
            ("job.project-name = []", "job.project-name", "must be a name"),
        ],
    )
    def test_wrong_file(
        self, project: pathlib.Path, text: str, key: Optional[str], reason: str
    ) -> None:
        """What is wrong with the file is kept for those who ask for the names."""
        path = project / ".neuro.toml"
        path.write_text(text)

        local = read_local_choice(str(project))

        assert str(path) == local.path
        assert Choice() == local.choice
        assert local.error is not None
        assert str(path) == local.error.path
        assert key == local.error.key
        assert reason in local.error.reason
        assert None is local.error.__traceback__

    def test_unreadable(self) -> None:
        """A local file without permission to read it is no failure either."""
        with unreadable(b"") as path:
            local = read_local_choice(os.path.dirname(path))

        assert path == local.path
        assert local.error is not None
        assert "cannot be read: Permission denied." == local.error.reason


class TestReadToml:
    def test_absent(self, tmp_path: pathlib.Path) -> None:
        """A file that does not exist is None."""
        assert None is read_toml(str(tmp_path / "user.toml"))

    def test_link(self, tmp_path: pathlib.Path) -> None:
        """A link to a file that others can read is followed."""
        (tmp_path / "there").write_text("a = 1")
        (tmp_path / "user.toml").symlink_to("there")

        assert {"a": 1} == read_toml(str(tmp_path / "user.toml"))

    def test_dangling_link(self, tmp_path: pathlib.Path) -> None:
        """A link to nothing is an error: somebody has meant to have settings."""
        (tmp_path / "user.toml").symlink_to("gone")

        assert "is a link to something" in reason_of(tmp_path / "user.toml")

    def test_folder(self, tmp_path: pathlib.Path) -> None:
        """A folder in the file's place is named."""
        assert "is a folder where a file must be." == reason_of(tmp_path)

    def test_not_a_folder(self, tmp_path: pathlib.Path) -> None:
        """A file in the place of the folder is an error, not an absent file."""
        (tmp_path / "file").touch()

        assert "cannot be read" in reason_of(tmp_path / "file" / "user.toml")

    def test_pipe(self, tmp_path: pathlib.Path) -> None:
        """A pipe is refused, and nobody waits for its other end."""
        os.mkfifo(tmp_path / "user.toml")

        assert "is a pipe or a device" in reason_of(tmp_path / "user.toml")

    def test_device(self) -> None:
        """A device is refused."""
        assert "is a pipe or a device" in reason_of(pathlib.Path("/dev/zero"))

    def test_socket(
        self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A socket is refused."""
        # Relative, because the name of a socket must be short.
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("user.toml")

            assert "cannot be read" in reason_of(pathlib.Path("user.toml"))

    def test_size(self, tmp_path: pathlib.Path) -> None:
        """A file of 1 MiB is read, one byte more is not."""
        path = tmp_path / "user.toml"
        path.write_bytes(b"#" * MAX_SIZE)
        assert {} == read_toml(str(path))

        path.write_bytes(b"#" * (MAX_SIZE + 1))
        assert "is larger than 1 MiB." == reason_of(path)

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"\xef\xbb\xbfa = 1", "begins with a byte order mark (BOM)"),
            (
                b"a = 1\nb = '\xff'",
                "is not UTF-8 at line 2, column 6. Save it as UTF-8.",
            ),
            ("\na = 'ä".encode() + b"\xff'", "is not UTF-8 at line 2, column 7."),
            (b"\xff\xfea\x00", "is not UTF-8 at line 1, column 1."),
            (b"a = 1\nb = = 2", "(at line 2, column 5)."),
            (b"a = 1\na = 2", "(at line 2, column 6)."),
            (b"a = 1\r\nb = '''x\r\ny\r\n", "(at line 3, column 2)."),
            (b'a = "x', "(at line 1, column 7)."),
            ("a = 1\nb = ['ä',".encode(), "(at line 2, column 10)."),
            (b"[a]\n[a", "(at line 2, column 3)."),
            (b"a = " + b"[" * 5000, "is nested too deeply."),
            (b"a = " + b"9" * 5000, "holds an integer with too many digits."),
            (b"a = 0x" + b"f" * 5000, "holds an integer with too many digits."),
            (b"a" + b".a" * 100 + b" = 1", "is nested too deeply."),
        ],
    )
    def test_wrong_bytes(
        self, tmp_path: pathlib.Path, data: bytes, reason: str
    ) -> None:
        """Bytes that are no TOML are an error that says where."""
        (tmp_path / "user.toml").write_bytes(data)

        assert reason in reason_of(tmp_path / "user.toml")

    def test_long_message(self, tmp_path: pathlib.Path) -> None:
        """An error stays short, however long the key is that it is about."""
        key = "k" * 10000
        (tmp_path / "user.toml").write_text(f"[{key}]\n[{key}]\n")

        reason = reason_of(tmp_path / "user.toml")

        assert len(reason) < 200
        assert reason.endswith(f"(at line 2, column {len(f'[{key}]')}).")

    @given(
        st.one_of(
            st.binary(),
            st.text(alphabet="[]{}=.,\"'\\\n\r\t #ab019-_:eTZjob").map(str.encode),
            st.builds(
                lambda name: f"job.cluster-name = {name}".encode(),
                st.text(alphabet="[]{}\"'ab1,"),
            ),
        )
    )
    def test_any_bytes(self, data: bytes) -> None:
        """Any bytes give a table or one typed error, and never stop a token."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, ".neuro.toml")
            pathlib.Path(path).write_bytes(data)
            try:
                assert isinstance(read_toml(path), dict)
            except UserConfigError as error:
                assert path == error.path  # noqa: PT017 (either outcome is right)
            assert path == read_local_choice(folder).path
