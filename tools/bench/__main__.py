"""Measure this package beside its peers; ``python tools/bench --help``."""

from __future__ import annotations

import argparse
from pathlib import Path

from measures import SIZES, Bench, Scale
from report import publish, table
from subjects import ROOT, SUBJECTS, install

PAGE = ROOT / "docs" / "explanation" / "speed.md"
PLOT = ROOT / "docs" / "_static" / "speed.svg"


def main() -> None:
    """Install, measure, and print a table or write it into the docs."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="default: 9")
    parser.add_argument(
        "--environments",
        type=Path,
        default=ROOT / ".tools" / "bench",
        help="where the packages are installed; what is there is used",
    )
    parser.add_argument(
        "--disk",
        type=Path,
        default=Path.home(),
        help="a folder on the disk that is measured; the home directory by default",
    )
    parser.add_argument(
        "--small", action="store_true", help="a trial: the smallest size only"
    )
    parser.add_argument(
        "--publish", action="store_true", help=f"write {PAGE.name} and {PLOT.name}"
    )
    options = parser.parse_args()
    environments = options.environments.resolve()
    for subject in SUBJECTS:
        install(subject, environments)
    scale = Scale(options.rounds)
    if options.small:
        scale = Scale(options.rounds, sizes=SIZES[:1], storm=80, herd=4)
    with Bench(environments, scale, options.disk) as bench:
        samples = bench.run()
    print(table(samples))
    if options.publish:
        publish(samples, PAGE, PLOT)


if __name__ == "__main__":
    main()
