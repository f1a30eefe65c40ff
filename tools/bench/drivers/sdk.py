"""Acts with one of the platform's SDKs inside its environment; see ``orders.py``."""

from __future__ import annotations

import asyncio
import importlib
import pathlib
import sys
import time
from typing import Any, Dict

import orders

PROPERTIES = ("cluster_name", "presets")


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

    special: Dict[str, Any] = {
        "login": login,
        "open": opened,
        "open and presets": open_and_presets,
        "look": look,
    }

    async def act(name: str, path: str, *arguments: str) -> Any:
        if name in special:
            return await special[name](path, *arguments)
        config = (await client(path)).config
        if name in PROPERTIES:
            return getattr(config, name)
        return await getattr(config, name)(*arguments)

    async def awaited(times: int, name: str, path: str, *arguments: str) -> float:
        """Time inside the loop: no trip into it is charged."""
        if name in special:
            method, arguments = special[name], (path, *arguments)
        else:
            method = getattr((await client(path)).config, name)
        started = time.perf_counter()
        for _ in range(times):
            await method(*arguments)
        return time.perf_counter() - started

    def seconds(times: int, name: str, path: str, *arguments: str) -> float:
        if name in PROPERTIES:
            config = loop.run_until_complete(client(path)).config
            return orders.timed(lambda: getattr(config, name), times)
        found: float = loop.run_until_complete(awaited(times, name, path, *arguments))
        return found

    orders.serve(lambda *order: loop.run_until_complete(act(*order)), seconds)


if __name__ == "__main__":
    main()
