"""Who is measured: this package and its peers, each in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List, NamedTuple, Tuple

ROOT = Path(__file__).resolve().parents[2]
DRIVERS = Path(__file__).resolve().parent / "drivers"

# What a process that only wants a token runs.
OURS_PRINTS = (
    "import sys, neuro_config; print(neuro_config.ConfigStore(sys.argv[1]).token())"
)
SDK_PRINTS = """
import asyncio, pathlib, sys
import {module} as sdk
async def main():
    async with sdk.get(path=pathlib.Path(sys.argv[1])) as client:
        print(await client.config.token())
asyncio.run(main())
"""


class Subject(NamedTuple):
    """A package under measurement.

    Args:
        name: Of the package and of its environment.
        module: What is imported.
        era: Whose JSON the platform speaks to it, one of ``testing.ERAS``.
        requirements: What pip installs.
        driver: The script in ``drivers`` that acts inside its environment.
        prints: Code of a process that prints a token of the directory ``argv[1]``.
    """

    name: str
    module: str
    era: str
    requirements: Tuple[str, ...]
    driver: str
    prints: str


OURS = Subject(
    "neuro_config", "neuro_config", "2026-08", (str(ROOT),), "ours.py", OURS_PRINTS
)
PEERS = (
    Subject(
        "neuro-sdk-22.7.1",
        "neuro_sdk",
        "2022-07",
        # Its clients import pkg_resources, which came with Python until 3.11.
        (
            "neuro-sdk==22.7.1", "neuro-config-client==22.7.11",
            "neuro-admin-client==22.7.2", "setuptools<81",
        ),
        "sdk.py",
        SDK_PRINTS.format(module="neuro_sdk"),
    ),
    Subject(
        "apolo-sdk",
        "apolo_sdk",
        "2026-08",
        ("apolo-sdk",),
        "sdk.py",
        SDK_PRINTS.format(module="apolo_sdk"),
    ),
)  # fmt: skip
SUBJECTS = (OURS, *PEERS)

_PACKAGES = """
import importlib.metadata as metadata, os, sysconfig
place = sysconfig.get_path("purelib")
tools = {"pip", "setuptools", "wheel"}
found = [one for one in metadata.distributions(path=[place])
         if one.metadata["Name"].lower() not in tools]
size = sum(os.path.getsize(one.locate_file(file)) for one in found for file in one.files or ()
           if os.path.exists(one.locate_file(file)))
print(len(found), size)
"""


def python_of(subject: Subject, environments: Path) -> str:
    """Return the interpreter of a subject's environment."""
    return str(environments / subject.name / "bin" / "python")


def install(subject: Subject, environments: Path) -> None:
    """Make the environment of a subject, unless it is there and works.

    This package is installed anew each time, since it is what changes.
    """
    python = python_of(subject, environments)
    check = [python, "-W", "ignore", "-c", f"import {subject.module}"]
    is_there = (
        os.path.exists(python)
        and subprocess.run(check, capture_output=True, cwd="/").returncode == 0
    )
    if is_there and subject is not OURS:
        return
    folder = environments / subject.name
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "venv", str(folder))
    quiet = ("--quiet", "--disable-pip-version-check")
    if subject is OURS:  # from a copy: a build writes into the tree that it builds
        copy = folder / "source"
        copy.mkdir()
        for name in ("setup.py", "setup.cfg", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, copy)
        shutil.copytree(ROOT / "neuro_config", copy / "neuro_config")
        run(python, "-m", "pip", "install", *quiet, str(copy))
        shutil.rmtree(copy)
    else:
        run(python, "-m", "pip", "install", *quiet, *subject.requirements)
    run(*check)


def packages(python: str) -> Tuple[int, int]:
    """Return how many packages are installed, and their bytes, byte code included."""
    done = subprocess.run(
        [python, "-c", _PACKAGES], check=True, capture_output=True, text=True
    )
    count, size = done.stdout.split()
    return int(count), int(size)


def environment() -> dict[str, str]:
    """Return an environment in which a subject finds its own packages only."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, "PYTHONWARNINGS": "ignore"}


def run(*command: str) -> None:
    """Run a command that has to work; what it printed shows where it did not."""
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def names(subjects: Tuple[Subject, ...] = SUBJECTS) -> List[str]:
    """Return the subjects' names, this package first."""
    return [subject.name for subject in subjects]
