"""The pytest fixture ``neuro_platform``.

pytest loads this module in every run, so it imports nothing but pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator

import pytest

if TYPE_CHECKING:
    from neuro_config.testing import Platform


@pytest.fixture
def neuro_platform() -> Iterator[Platform]:
    """Run an embedded platform for one test; see ``neuro_config.testing.Platform``."""
    try:
        from neuro_config.testing import Platform
    except ImportError as error:
        pytest.fail(
            f"the fixture neuro_platform needs the extra 'testing' of neuro_config: "
            f"pip install 'neuro_config[testing]' ({error})",
            pytrace=False,
        )
    with Platform() as platform:
        yield platform
