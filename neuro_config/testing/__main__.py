"""``python -m neuro_config.testing``: run an embedded platform until Ctrl-C.

Prints two lines for other programs to read: first its API URL, second an access token.
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
LONGEST_LIFE = 1e9  # seconds; about thirty years


def _clusters(text: str) -> Tuple[ClusterSpec, ...]:
    """Read ``NxM``: N clusters with M presets each."""
    clusters, _, presets = text.partition("x")
    sizes = int(clusters), int(presets)
    if min(sizes) < 0:
        raise ValueError
    return make_clusters(*sizes)


_clusters.__name__ = "NxM"  # argparse says it when the value is wrong


def _port(text: str) -> int:
    """Read a port; 0 stands for a free one."""
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not a port from 0 to 65535")
    return port


_port.__name__ = "port"


def _seconds(text: str) -> float:
    """Read how long a token is to be valid."""
    seconds = float(text)
    if not 0 < seconds <= LONGEST_LIFE:
        raise argparse.ArgumentTypeError(
            f"{text} is not a number of seconds above 0, up to {LONGEST_LIFE:.0e}"
        )
    return seconds


_seconds.__name__ = "number"


def _user(text: str) -> str:
    """Read a name that a token can be for."""
    if not text or text.isspace() or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is not a name")
    return text


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
        epilog="Two lines are printed, without labels, so that a program can read "
        "them: the first is the API URL, the second the access token.",
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=0,
        metavar="N",
        help="where to listen; default: a free port",
    )
    parser.add_argument(
        "--user",
        type=_user,
        default="alice",
        metavar="NAME",
        help="who logs in; default: %(default)s",
    )
    parser.add_argument(
        "--era",
        choices=ERAS,
        default=ERAS[-1],
        help="the month whose JSON is spoken; default: %(default)s, the newest",
    )
    parser.add_argument(
        "--token-life",
        type=_seconds,
        default=3600,
        metavar="SECONDS",
        dest="life",
        help="how long an access token is valid; default: %(default)s",
    )
    parser.add_argument(
        "--no-rotate",
        action="store_false",
        dest="rotate",
        help="let a refresh token be spent more than once; by default each is spent "
        "once and replaced by a new one",
    )
    parser.add_argument(
        "--clusters",
        type=_clusters,
        default=(DEFAULT_CLUSTER,),
        metavar="NxM",
        help="N clusters with M presets each; default: one named default, with a "
        "preset of every kind",
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
