"""A plugin as somebody writes it who has read docs/reference/plugins.md."""

from __future__ import annotations

from neuro_config import ConfigScope, PluginManager


def setup(manager: PluginManager) -> None:
    """Register a key for every file and one for local files."""
    manager.config.define_int("report", "width")
    manager.config.define_str_list("report", "columns", scope=ConfigScope.LOCAL)
