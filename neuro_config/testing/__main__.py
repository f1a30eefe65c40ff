"""``python -m neuro_config.testing``: run an embedded platform until Ctrl-C.

Prints its API URL and an access token, one a line.
"""

from __future__ import annotations

import argparse
import signal
import sys
from typing import Optional, Sequence, Tuple

from neuro_config.testing._model import DEFAULT_CLUSTER, ClusterSpec, make_clusters
from neuro_config.testing._platform import Platform
from neuro_config.testing._render import ERAS

ENDS = (signal.SIGINT, signal.SIGTERM)


def _clusters(text: str) -> Tuple[ClusterSpec, ...]:
    """Read ``NxM``: N clusters with M presets each."""
    clusters, _, presets = text.partition("x")
    return make_clusters(int(clusters), int(presets))


_clusters.__name__ = "NxM"  # argparse says it when the value is wrong


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command.

    Args:
        argv: Arguments without the program's name; by default those of the process.

    Returns:
        The exit code: 0 after Ctrl-C or SIGTERM.
    """
    parser = argparse.ArgumentParser(
        prog="python -m neuro_config.testing",
        description="Run an embedded platform on a loopback port until Ctrl-C; "
        "print its API URL and an access token.",
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--user", default="alice", help="who logs in")
    parser.add_argument("--era", choices=ERAS, default=ERAS[-1])
    parser.add_argument(
        "--token-life", type=float, default=3600, metavar="SECONDS", dest="life"
    )
    parser.add_argument("--no-rotate", action="store_false", dest="rotate")
    parser.add_argument(
        "--clusters",
        type=_clusters,
        default=(DEFAULT_CLUSTER,),
        metavar="NxM",
        help="N clusters with M presets each",
    )
    args = parser.parse_args(argv)
    platform = Platform(
        user=args.user,
        clusters=args.clusters,
        era=args.era,
        token_life=args.life,
        rotate=args.rotate,
        port=args.port,
    )
    # Blocked before any thread starts, the signals reach nobody but sigwait().
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    try:
        platform.start()
    except OSError as error:
        parser.error(f"cannot listen on port {args.port}: {error.strerror}")
    else:
        print(platform.url, platform.issue_access_token(), sep="\n", flush=True)
        signal.sigwait(ENDS)
    finally:
        platform.stop()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return 0


if __name__ == "__main__":
    sys.exit(main())
