"""Fuzz with atheris: ``python tests/fuzz/run.py TARGET [libFuzzer options]``.

``all`` for a target runs one after the other. What is found is written as ``crash-...``
into the folder that ``-artifact_prefix=`` names, by default the current one; move it
into ``tests/fuzz/corpus/TARGET``, where a plain test runs it.
"""

from __future__ import annotations

import importlib.machinery
import os
import random
import site
import sys
import tempfile
from pathlib import Path
from typing import List

import atheris

HERE = Path(__file__).parent
DEFAULTS = ["-timeout=60", "-rss_limit_mb=1024", "-max_len=65536"]


def prefer_sources() -> None:
    """Import as Python what is also there compiled, so that atheris sees into it."""
    machinery = importlib.machinery
    for place in site.getsitepackages():
        sys.path_importer_cache[place] = machinery.FileFinder(
            place,
            (machinery.SourceFileLoader, machinery.SOURCE_SUFFIXES),
            (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
        )


def fuzz(name: str, options: List[str], place: Path) -> None:
    """Fuzz one target; does not return."""
    import mutate
    import targets

    def mutated(data: bytes, size: int, seed: int) -> bytes:
        if seed % 4 == 0:  # as libFuzzer does it, which learns from comparisons
            changed: bytes = atheris.Mutate(data, size)
            return changed
        return mutate.changed(data, random.Random(seed))[:size]

    targets.work_in(place)
    found = place / "corpus"
    found.mkdir()
    corpus = HERE / "corpus" / name
    arguments = [sys.argv[0], *DEFAULTS, *options, str(found), str(corpus)]
    atheris.Setup(arguments, targets.TARGETS[name], custom_mutator=mutated)
    atheris.Fuzz()


def main() -> int:
    name, *options = sys.argv[1:]
    sys.path[:0] = [str(HERE), str(HERE.parent.parent)]
    prefer_sources()
    with atheris.instrument_imports(include=["neuro_config", "tomli"]):
        import targets
    names = list(targets.TARGETS) if name == "all" else [name]
    failed = []
    for one in names:
        print(f"--- {one}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=targets.memory()) as place:
            child = os.fork()
            if child == 0:
                fuzz(one, options, Path(place))
            if os.waitpid(child, 0)[1] != 0:
                failed.append(one)
    if failed:
        print(f"found something: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
