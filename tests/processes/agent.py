"""A process with one store that does what stdin says, a line an action."""

from __future__ import annotations

import json
import sys
import time

from zygote import act

from neuro_config import ConfigError, ConfigStore


def main() -> None:
    """Answer each action with ``[result, error]`` as JSON."""
    path, offset = sys.argv[1], float(sys.argv[2])
    store = ConfigStore(path, clock=lambda: time.time() + offset)
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            answer = [act(store, line.strip()), None]
        except ConfigError as error:
            answer = [None, type(error).__name__]
        print(json.dumps(answer, default=str), flush=True)


if __name__ == "__main__":
    main()
