"""``python -m neuro_config``, and where the command ``neuro-config`` enters."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say which extra it needs."""
    if not sys.warnoptions:
        import warnings

        # They are for developers, of other packages mostly.
        warnings.simplefilter("ignore")
    try:
        from ._cli import main as run
    except ModuleNotFoundError as error:
        sys.exit(
            f"neuro-config needs the extra 'cli' ({error.name} is missing): "
            "pip install 'neuro_config[cli]'"
        )
    except KeyboardInterrupt:
        sys.exit(130)
    run(prog_name="neuro-config")


if __name__ == "__main__":
    main()
