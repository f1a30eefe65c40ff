"""``python -m neuro_config``, and where the command ``neuro-config`` enters."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say which extra it needs."""
    try:
        from ._cli import main as run
    except ModuleNotFoundError as error:
        sys.exit(
            f"neuro-config needs the extra 'cli' ({error.name} is missing): "
            "pip install 'neuro_config[cli]'"
        )
    run(prog_name="neuro-config")


if __name__ == "__main__":
    main()
