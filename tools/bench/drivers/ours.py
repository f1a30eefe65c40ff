"""Acts with this package inside its environment; see ``orders.py`` for the orders."""

from __future__ import annotations

from typing import Any, Callable, Dict

import orders

from neuro_config import ConfigStore


def opened(path: str) -> ConfigStore:
    return ConfigStore(path)


def presets(path: str) -> None:
    dict(ConfigStore(path).presets)


def main() -> None:
    stores: Dict[str, ConfigStore] = {}

    def store(path: str) -> ConfigStore:
        if path not in stores:
            stores[path] = opened(path)
        return stores[path]

    actions: Dict[str, Callable[..., Any]] = {
        "login": lambda path, url: ConfigStore(path).login(
            orders.show_browser, url=url
        ),
        "open": opened,
        "open and presets": presets,
        "token": lambda path: store(path).token(),
        "cluster_name": lambda path: store(path).cluster_name,
        "presets": lambda path: store(path).presets,
        "get_user_config": lambda path: store(path).get_user_config(),
        "switch_cluster": lambda path, name: store(path).switch_cluster(name),
        "switch_org": lambda path, name: store(path).switch_org(name),
        "fetch": lambda path: store(path).fetch(),
        "look": lambda path: (opened(path).cluster_name, opened(path).org_name),
    }
    orders.serve(lambda name, *arguments: actions[name](*arguments))


if __name__ == "__main__":
    main()
