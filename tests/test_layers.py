"""The structure: who imports whom, what the pure part may do, what a token costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Set

import pytest
from common import Login

import neuro_config

PACKAGE = Path(neuro_config.__file__).parent

# From the ground up: each module imports only modules above it in this list.
LAYERS = [
    "_version",
    "_deadline",
    "_errors",
    "_toml",
    "_attempts",
    "_session",
    "_facts",
    "_states",
    "_values",
    "_cluster_line",
    "_convert",
    "_wire",
    "_walk",
    "_payload",
    "_catalog_index",
    "_catalog",
    "_choice",
    "_passed_config",
    "_claims",
    "_signals",
    "_storage",
    "_unsaved",
    "_directory",
    "_locks",
    "_commit",
    "_memory",
    "_guard",
    "_http",
    "_etcd_url",
    "_etcd_keys",
    "_etcd_clock",
    "_etcd_http",
    "_etcd_client",
    "_etcd_catalogs",
    "_etcd_refresher",
    "_etcd_health",
    "_etcd",
    "_files",
    "_move",
    "_platform",
    "_local",
    "_plugins",
    "_user_config",
    "_edit",
    "_settings",
    "_change_setting",
    "_tool_db",
    "_tool_login",
    "_refresh",
    "_new_login",
    "_authorization",
    "_pages",
    "_callback",
    "_login",
    "_view",
    "_explain",
    "_auth",
    "_store",
    "_docker_config",
    "_words",
    "_docker",
    "_mounts",
    "_skew",
    "_doctor",
    "_etcd_doctor",
    "_http_session",
    "_client",
    "_aio",
    "aio",
    "testing",
    "_demo",
    "_cli",
    "__main__",
]
PACKAGES = {"testing", "_cli"}
PURE = [
    "_errors", "_toml", "_attempts", "_session", "_facts", "_states", "_values",
    "_cluster_line", "_convert", "_wire", "_walk", "_payload",
    "_catalog_index", "_catalog", "_choice", "_passed_config", "_claims", "_mounts",
    "_etcd_url", "_etcd_keys",
]  # fmt: skip
# What a pure module must not have: the doors to the disk, the network and the clock.
DOORS = {
    "os", "io", "pathlib", "shutil", "tempfile", "socket", "ssl", "requests", "urllib3",
    "http", "subprocess", "threading", "logging", "random", "secrets", "time",
}  # fmt: skip
# The type datetime.time is no door, hence the clock behind the module is barred by name.
CLOCKS = {"now", "today", "utcnow"}


def sources(module: str) -> List[Path]:
    if module in PACKAGES:
        return sorted((PACKAGE / module).glob("*.py"))
    return [PACKAGE / f"{module}.py"]


def imported(source: str, *, at_run_time: bool) -> Set[str]:
    """Return the modules that a source imports, ours as ``._name``."""
    tree = ast.parse(source)
    skipped: Set[ast.AST] = set()
    for node in ast.walk(tree):
        if (
            at_run_time
            and isinstance(node, ast.If)
            and "TYPE_CHECKING" in ast.dump(node.test)
        ):
            skipped.update(each for child in node.body for each in ast.walk(child))
    found: Set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = node.module or ""
            if node.level:
                names = [name] if name else [alias.name for alias in node.names]
                found.update(f".{each}" for each in names)
            elif name.startswith("neuro_config"):
                found.add("." + (name + ".").split(".")[1])
            else:
                found.add(name)
    return found


def test_layers_are_complete() -> None:
    """Every module of the package has its place in the layers."""
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert modules | PACKAGES == set(LAYERS)


@pytest.mark.parametrize("module", LAYERS)
def test_each_imports_only_what_is_above(module: str) -> None:
    """Each module imports only modules above it, in functions too."""
    above = {f".{name}" for name in LAYERS[: LAYERS.index(module)]}
    own = {f".{module}"} & {f".{name}" for name in PACKAGES}
    for path in sources(module):
        ours = {
            name.split(".testing")[0] + ".testing" if ".testing" in name else name
            for name in imported(path.read_text(), at_run_time=True)
            if name.startswith(".")
        }
        assert set() == ours - above - own - {"."}, path.name


def doors(source: str) -> Set[str]:
    """Return the doors that a source opens: modules, built-in functions, clocks."""
    nodes = list(ast.walk(ast.parse(source)))
    modules = {name.split(".")[0] for name in imported(source, at_run_time=True)}
    calls = {
        node.func.id
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    # Not only calls: who hands on datetime.now has opened it too.
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return (
        modules & DOORS
        | calls & {"open", "print", "input", "exec", "eval", "__import__"}
        | attributes & CLOCKS
    )


@pytest.mark.parametrize("module", PURE)
def test_the_core_is_pure(module: str) -> None:
    """A pure module opens no door to the disk, the network or the clock."""
    (path,) = sources(module)
    assert set() == doors(path.read_text())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import time", {"time"}),
        ("from time import monotonic", {"time"}),
        ("def f():\n    import time as clock", {"time"}),
        ("import datetime\ndatetime.datetime.now()", {"now"}),
        ("from datetime import datetime as d\nd.utcnow()", {"utcnow"}),
        ("from datetime import date\nclock = date.today", {"today"}),
        ("import os.path", {"os"}),
        ("open('file')", {"open"}),
        ("from datetime import time\ntime(1, 2)", set()),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import os", set()),
    ],
)
def test_doors(source: str, expected: Set[str]) -> None:
    """A door is seen however it is opened; the type datetime.time is none."""
    assert expected == doors(source)


# What a process that prints a token loads of ours and of others, beyond what the
# interpreter, attrs and tomli load. A name is added here only with a reason.
TOKEN_PATH = {
    "neuro_config",
    "neuro_config._deadline",
    "neuro_config._errors",
    "neuro_config._session",
    "neuro_config._toml",
    "neuro_config._facts",
    "neuro_config._storage",
    "neuro_config._unsaved",
    "neuro_config._directory",
    "neuro_config._files",
    "neuro_config._local",
    "neuro_config._view",
    "neuro_config._store",
}

TRACE = """
import sys
import attr, tomli  # what any such library needs
before = set(sys.modules)
import neuro_config
token = neuro_config.ConfigStore(sys.argv[1]).token()
print(token)
print("\\n".join(sorted(set(sys.modules) - before)))
"""


def loaded(path: Path) -> List[str]:
    result = subprocess.run(
        [sys.executable, "-c", TRACE, str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    return result.stdout.splitlines()


def test_token_path(login: Login) -> None:
    """A process that prints a valid token loads these modules and no others."""
    store = login()
    token, *modules = loaded(store.path)
    assert store.token() == token
    # errno is part of the interpreter's binary, which has loaded it or not.
    assert TOKEN_PATH == set(modules) - {"errno"}


def test_import_loads_nothing() -> None:
    """Importing the package loads no module of it."""
    code = "import sys, typing; a = set(sys.modules); import neuro_config; print(*sorted(set(sys.modules) - a))"
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert ["neuro_config"] == result.stdout.split()


def test_exports() -> None:
    """__all__ names what is there, what the type checker sees, and nothing private."""
    assert sorted(set(neuro_config.__all__)) == sorted(neuro_config.__all__)
    for name in neuro_config.__all__:
        assert getattr(neuro_config, name) is not None
        assert name in dir(neuro_config)
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    seen = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    assert set(neuro_config.__all__) == seen
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        neuro_config.nothing  # noqa: B018


def test_every_error_is_a_config_error() -> None:
    """All our errors are ConfigError, a RuntimeError, and all are exported and drawn."""
    from neuro_config import _errors

    drawn = _errors.__doc__ or ""
    errors: Dict[str, type] = {
        name: value
        for name, value in vars(_errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert issubclass(neuro_config.ConfigError, RuntimeError)
    for name, error in errors.items():
        assert issubclass(error, neuro_config.ConfigError)
        assert name in neuro_config.__all__
        assert name in drawn


def test_base_of_the_state_errors() -> None:
    """A WrongStateError names the state and the event."""
    error = neuro_config.WrongStateError("LoggedOut", "fetch")
    assert "fetch is not possible in the state LoggedOut." == str(error)
