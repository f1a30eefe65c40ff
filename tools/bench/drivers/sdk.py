"""Acts with one of the platform's SDKs inside its environment; see ``orders.py``."""

from __future__ import annotations

import asyncio
import importlib
import pathlib
import sys
from typing import Any, Dict

import orders


def main() -> None:
    sdk: Any = importlib.import_module(sys.argv[1])
    loop = asyncio.new_event_loop()
    clients: Dict[str, Any] = {}

    async def show_browser(url: Any) -> None:
        await loop.run_in_executor(None, orders.show_browser, url)

    async def login(path: str, url: str) -> None:
        yarl: Any = importlib.import_module("yarl")
        await sdk.login(show_browser, url=yarl.URL(url), path=pathlib.Path(path))

    async def client(path: str) -> Any:
        if path not in clients:
            clients[path] = await sdk.get(path=pathlib.Path(path))
        return clients[path]

    async def opened(path: str) -> None:
        async with sdk.get(path=pathlib.Path(path)):
            pass

    async def open_and_presets(path: str) -> None:
        async with sdk.get(path=pathlib.Path(path)) as opened:
            dict(opened.config.presets)

    async def look(path: str) -> Any:
        async with sdk.get(path=pathlib.Path(path)) as opened:
            return opened.config.cluster_name, opened.config.org_name

    async def act(name: str, path: str, *arguments: str) -> Any:
        special: Dict[str, Any] = {
            "login": login,
            "open": opened,
            "open and presets": open_and_presets,
            "look": look,
        }
        if name in special:
            return await special[name](path, *arguments)
        config = (await client(path)).config
        if name in ("cluster_name", "presets"):
            return getattr(config, name)
        return await getattr(config, name)(*arguments)

    def in_loop(name: str, *arguments: str) -> Any:
        # Without a trip through the loop: what costs nothing there is not to be
        # charged for it here.
        if name in ("cluster_name", "presets") and arguments[0] in clients:
            return getattr(clients[arguments[0]].config, name)
        return loop.run_until_complete(act(name, *arguments))

    orders.serve(in_loop)


if __name__ == "__main__":
    main()
