"""A real platform in the test process: loopback HTTP, the platform's own protocol.

    from neuro_config.testing import Platform

    with Platform(user="alice") as platform:
        token = platform.issue_access_token()
        requests.get(platform.url / "config", headers={"Authorization": f"Bearer {token}"})

Needs the extra ``testing`` (``pip install 'neuro_config[testing]'``). pytest users
get the fixture ``neuro_platform``; ``python -m neuro_config.testing`` runs one until
Ctrl-C.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuro_config.testing._account import Account
    from neuro_config.testing._faults import ConfigFaults, EndpointFaults, Faults
    from neuro_config.testing._log import RequestRecord
    from neuro_config.testing._model import (
        DEFAULT_CLUSTER,
        DEFAULT_POOLS,
        DEFAULT_PRESETS,
        ClusterSpec,
        GpuSpec,
        PoolSpec,
        PresetSpec,
        ProjectSpec,
        make_clusters,
    )
    from neuro_config.testing._platform import Platform
    from neuro_config.testing._render import ERAS
    from neuro_config.testing._tokens import (
        IDENTITY_CLAIMS,
        ExpiresIn,
        TokenSettings,
    )

__all__ = [
    "DEFAULT_CLUSTER",
    "DEFAULT_POOLS",
    "DEFAULT_PRESETS",
    "ERAS",
    "IDENTITY_CLAIMS",
    "Account",
    "ClusterSpec",
    "ConfigFaults",
    "EndpointFaults",
    "ExpiresIn",
    "Faults",
    "GpuSpec",
    "Platform",
    "PoolSpec",
    "PresetSpec",
    "ProjectSpec",
    "RequestRecord",
    "TokenSettings",
    "make_clusters",
]

# where the names live that are loaded when they are first used
_HOMES = {
    "Account": "_account",
    "ConfigFaults": "_faults",
    "EndpointFaults": "_faults",
    "ERAS": "_render",
    "ExpiresIn": "_tokens",
    "Faults": "_faults",
    "IDENTITY_CLAIMS": "_tokens",
    "Platform": "_platform",
    "RequestRecord": "_log",
    "TokenSettings": "_tokens",
}


def __getattr__(name: str) -> Any:
    # pytest imports this package in every run of every project that has the library
    # installed, so importing it must cost nothing
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{_HOMES.get(name, '_model')}")
    return getattr(home, name)
