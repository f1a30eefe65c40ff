"""Acts with this package inside its environment; see ``orders.py`` for the orders."""

from __future__ import annotations

import functools
from typing import Any, Callable, Dict

import orders

from neuro_config import ConfigStore


def main() -> None:
    stores: Dict[str, ConfigStore] = {}

    def store(path: str) -> ConfigStore:
        if path not in stores:
            stores[path] = ConfigStore(path)
        return stores[path]

    def bound(name: str, path: str, *arguments: Any) -> Callable[[], Any]:
        """Make a call that costs what the package's own does."""
        if name == "login":
            url = arguments[0]
            return lambda: ConfigStore(path).login(orders.show_browser, url=url)
        if name == "open":
            return functools.partial(ConfigStore, path)
        if name == "open and presets":
            return lambda: dict(ConfigStore(path).presets)
        if name == "look":
            return lambda: (ConfigStore(path).cluster_name, ConfigStore(path).org_name)
        one = store(path)
        if name == "cluster_name":
            return lambda: one.cluster_name
        if name == "presets":
            return lambda: one.presets
        method = getattr(one, name)
        return functools.partial(method, *arguments) if arguments else method

    orders.serve(
        lambda *order: bound(*order)(),
        lambda times, *order: orders.timed(bound(*order), times),
    )


if __name__ == "__main__":
    main()
