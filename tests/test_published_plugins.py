"""Plugins that exist: the platform's own command-line tools, and packages of ours."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Dict

import pytest
from common import ROOT, needs_tool, tools

SCRIPT = """
import json, logging, sys, warnings

class Keep(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())

said = []
logging.getLogger("neuro_config").addHandler(Keep())
from neuro_config import ConfigError, ConfigStore
try:
    result = dict(ConfigStore(sys.argv[1]).get_user_config())
except ConfigError as error:
    result = f"{type(error).__name__}: {error}"
loaded = [name for name in sys.modules if name.endswith(("_cli.plugin", "_plugin"))]
print(json.dumps([result, said, sorted(loaded)], default=dict))
"""

TOOLS = [
    pytest.param(
        "neuro-sdk-22.7.1", "neuro_cli.plugin", marks=needs_tool("neuro-sdk-22.7.1/bin/python")
    ),
    pytest.param("apolo-sdk", "apolo_cli.plugin", marks=needs_tool("apolo-sdk/bin/python")),
]  # fmt: skip


def user_config(tool: str, folder: Path, **files: str) -> Any:
    """Ask for the settings where the tool and our plugins are installed.

    Returns:
        The settings or the error, what was logged, and the plugins' modules.
    """
    folder.mkdir(mode=0o700)
    for name, text in files.items():
        where = folder / "user.toml" if name == "user" else Path(".neuro.toml")
        where.write_text(text)
    path = os.pathsep.join([str(ROOT), str(tools() / "plugins")])
    environment: Dict[str, str] = {**os.environ, "PYTHONPATH": path}
    answer = subprocess.run(
        [tools() / tool / "bin" / "python", "-W", "ignore", "-c", SCRIPT, str(folder)],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(answer.stdout)


@pytest.mark.parametrize(("tool", "plugin"), TOOLS)
def test_published_tools(tool: str, plugin: str, folder: Path) -> None:
    """The platform's own tool is loaded as a plugin, and its settings are accepted."""
    user = '[job]\nps-format = "{id}"\n[storage]\ncp-exclude = ["*.pyc"]\n'
    local = '[job]\nlife-span = "1d"\ncluster-name = "default"\n'
    result, said, loaded = user_config(tool, folder, user=user, local=local)
    assert {
        "job": {"ps-format": "{id}", "life-span": "1d", "cluster-name": "default"},
        "storage": {"cp-exclude": ["*.pyc"]},
    } == result
    assert plugin in loaded
    assert [] == [line for line in said if "broken" not in line]


@pytest.mark.parametrize(("tool", "plugin"), TOOLS)
def test_a_package_of_ours(tool: str, plugin: str, folder: Path) -> None:
    """The keys of a plugin are accepted beside the tool's, each in its scope."""
    result, _, loaded = user_config(
        tool,
        folder,
        user="[report]\nwidth = 80\n",
        local='[report]\ncolumns = ["id", "name"]\n',
    )
    assert {"report": {"width": 80, "columns": ["id", "name"]}} == result
    assert {"good_plugin", plugin} <= set(loaded)


@pytest.mark.parametrize(("tool", "plugin"), TOOLS)
def test_a_broken_package(tool: str, plugin: str, folder: Path) -> None:
    """A plugin that fails is a warning, and is named where its key is unknown."""
    result, said, _ = user_config(tool, folder, user="[gauge]\ndepth = 3\n")
    assert result.startswith("UserConfigError: ")
    assert "neuro-config-broken-plugin" in result
    assert "gauge" in result
    (warning,) = said
    assert "neuro-config-broken-plugin" in warning
    assert "define_date" in warning
