"""A plugin that fails before it has registered its key ``gauge.depth``."""

from __future__ import annotations

from neuro_config import PluginManager


def setup(manager: PluginManager) -> None:
    """Fail as a plugin of another time would."""
    manager.config.define_date("gauge", "depth")  # type: ignore[attr-defined]
