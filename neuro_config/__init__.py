"""One login on the Neu.ro/Apolo platform for any number of processes.

Names are imported when they are first asked for: a process that only wants a token
pays for nothing else.
"""

from typing import TYPE_CHECKING, Any, Dict, List

if TYPE_CHECKING:
    from ._errors import (
        AuthError as AuthError,
    )
    from ._errors import (
        CannotRefreshError as CannotRefreshError,
    )
    from ._errors import (
        ConfigError as ConfigError,
    )
    from ._errors import (
        ConnectionFailedError as ConnectionFailedError,
    )
    from ._errors import (
        DamagedFileError as DamagedFileError,
    )
    from ._errors import (
        InsecureURLError as InsecureURLError,
    )
    from ._errors import (
        InvalidTokenError as InvalidTokenError,
    )
    from ._errors import (
        LockTimeoutError as LockTimeoutError,
    )
    from ._errors import (
        LoginChangedError as LoginChangedError,
    )
    from ._errors import (
        MalformedAnswerError as MalformedAnswerError,
    )
    from ._errors import (
        NetworkError as NetworkError,
    )
    from ._errors import (
        NewerSchemaError as NewerSchemaError,
    )
    from ._errors import (
        NoClusterError as NoClusterError,
    )
    from ._errors import (
        NoProjectError as NoProjectError,
    )
    from ._errors import (
        NotLoggedInError as NotLoggedInError,
    )
    from ._errors import (
        PassedConfigError as PassedConfigError,
    )
    from ._errors import (
        PlatformError as PlatformError,
    )
    from ._errors import (
        PluginError as PluginError,
    )
    from ._errors import (
        ProjectRootNotFoundError as ProjectRootNotFoundError,
    )
    from ._errors import (
        RefreshFailedError as RefreshFailedError,
    )
    from ._errors import (
        RefreshPendingError as RefreshPendingError,
    )
    from ._errors import (
        RequestTimeoutError as RequestTimeoutError,
    )
    from ._errors import (
        SessionEndedError as SessionEndedError,
    )
    from ._errors import (
        StaleSnapshotError as StaleSnapshotError,
    )
    from ._errors import (
        StorageError as StorageError,
    )
    from ._errors import (
        StorageReadError as StorageReadError,
    )
    from ._errors import (
        StorageWriteError as StorageWriteError,
    )
    from ._errors import (
        SwitchOverriddenError as SwitchOverriddenError,
    )
    from ._errors import (
        TokenRefusedError as TokenRefusedError,
    )
    from ._errors import (
        UnknownClusterError as UnknownClusterError,
    )
    from ._errors import (
        UnknownNameError as UnknownNameError,
    )
    from ._errors import (
        UnknownOrgError as UnknownOrgError,
    )
    from ._errors import (
        UnknownPresetError as UnknownPresetError,
    )
    from ._errors import (
        UnknownProjectError as UnknownProjectError,
    )
    from ._errors import (
        UnsafePathError as UnsafePathError,
    )
    from ._errors import (
        UnsupportedSystemError as UnsupportedSystemError,
    )
    from ._errors import (
        UserConfigError as UserConfigError,
    )
    from ._errors import (
        WrongStateError as WrongStateError,
    )
    from ._files import (
        FileStorage as FileStorage,
    )
    from ._local import (
        find_project_root as find_project_root,
    )
    from ._memory import (
        MemoryStorage as MemoryStorage,
    )
    from ._plugins import (
        ConfigBuilder as ConfigBuilder,
    )
    from ._plugins import (
        ConfigScope as ConfigScope,
    )
    from ._plugins import (
        PluginManager as PluginManager,
    )
    from ._session import (
        AuthConfig as AuthConfig,
    )
    from ._session import (
        Choice as Choice,
    )
    from ._session import (
        RefreshFailure as RefreshFailure,
    )
    from ._session import (
        RefreshMark as RefreshMark,
    )
    from ._session import (
        Session as Session,
    )
    from ._session import (
        Token as Token,
    )
    from ._states import (
        LoggedIn as LoggedIn,
    )
    from ._states import (
        LoggedOut as LoggedOut,
    )
    from ._states import (
        State as State,
    )
    from ._states import (
        TokenExpired as TokenExpired,
    )
    from ._storage import (
        Storage as Storage,
    )
    from ._store import (
        DEFAULT_API_URL as DEFAULT_API_URL,
    )
    from ._store import (
        Config as Config,
    )
    from ._store import (
        ConfigStore as ConfigStore,
    )
    from ._values import (
        GPU as GPU,
    )
    from ._values import (
        TPU as TPU,
    )
    from ._values import (
        Apps as Apps,
    )
    from ._values import (
        Cluster as Cluster,
    )
    from ._values import (
        EnergySchedule as EnergySchedule,
    )
    from ._values import (
        Org as Org,
    )
    from ._values import (
        Preset as Preset,
    )
    from ._values import (
        Project as Project,
    )
    from ._values import (
        ResourcePool as ResourcePool,
    )
    from ._values import (
        SchedulePeriod as SchedulePeriod,
    )
    from ._values import (
        StorageVolume as StorageVolume,
    )
    from ._values import (
        TPUResource as TPUResource,
    )
    from ._version import __version__ as __version__

_MODULES: Dict[str, str] = {
    "Apps": "_values",
    "AuthConfig": "_session",
    "AuthError": "_errors",
    "CannotRefreshError": "_errors",
    "Choice": "_session",
    "Cluster": "_values",
    "Config": "_store",
    "ConfigBuilder": "_plugins",
    "ConfigError": "_errors",
    "ConfigScope": "_plugins",
    "ConfigStore": "_store",
    "ConnectionFailedError": "_errors",
    "DEFAULT_API_URL": "_store",
    "DamagedFileError": "_errors",
    "EnergySchedule": "_values",
    "FileStorage": "_files",
    "GPU": "_values",
    "InsecureURLError": "_errors",
    "InvalidTokenError": "_errors",
    "LockTimeoutError": "_errors",
    "LoggedIn": "_states",
    "LoggedOut": "_states",
    "LoginChangedError": "_errors",
    "MalformedAnswerError": "_errors",
    "MemoryStorage": "_memory",
    "NetworkError": "_errors",
    "NewerSchemaError": "_errors",
    "NoClusterError": "_errors",
    "NoProjectError": "_errors",
    "NotLoggedInError": "_errors",
    "Org": "_values",
    "PassedConfigError": "_errors",
    "PlatformError": "_errors",
    "PluginError": "_errors",
    "PluginManager": "_plugins",
    "Preset": "_values",
    "Project": "_values",
    "ProjectRootNotFoundError": "_errors",
    "RefreshFailedError": "_errors",
    "RefreshFailure": "_session",
    "RefreshMark": "_session",
    "RefreshPendingError": "_errors",
    "RequestTimeoutError": "_errors",
    "ResourcePool": "_values",
    "SchedulePeriod": "_values",
    "Session": "_session",
    "SessionEndedError": "_errors",
    "StaleSnapshotError": "_errors",
    "State": "_states",
    "Storage": "_storage",
    "StorageError": "_errors",
    "StorageReadError": "_errors",
    "StorageVolume": "_values",
    "StorageWriteError": "_errors",
    "SwitchOverriddenError": "_errors",
    "TPU": "_values",
    "TPUResource": "_values",
    "Token": "_session",
    "TokenExpired": "_states",
    "TokenRefusedError": "_errors",
    "UnknownClusterError": "_errors",
    "UnknownNameError": "_errors",
    "UnknownOrgError": "_errors",
    "UnknownPresetError": "_errors",
    "UnknownProjectError": "_errors",
    "UnsafePathError": "_errors",
    "UnsupportedSystemError": "_errors",
    "UserConfigError": "_errors",
    "WrongStateError": "_errors",
    "__version__": "_version",
    "find_project_root": "_local",
}

__all__ = [
    "DEFAULT_API_URL",
    "GPU",
    "TPU",
    "Apps",
    "AuthConfig",
    "AuthError",
    "CannotRefreshError",
    "Choice",
    "Cluster",
    "Config",
    "ConfigBuilder",
    "ConfigError",
    "ConfigScope",
    "ConfigStore",
    "ConnectionFailedError",
    "DamagedFileError",
    "EnergySchedule",
    "FileStorage",
    "InsecureURLError",
    "InvalidTokenError",
    "LockTimeoutError",
    "LoggedIn",
    "LoggedOut",
    "LoginChangedError",
    "MalformedAnswerError",
    "MemoryStorage",
    "NetworkError",
    "NewerSchemaError",
    "NoClusterError",
    "NoProjectError",
    "NotLoggedInError",
    "Org",
    "PassedConfigError",
    "PlatformError",
    "PluginError",
    "PluginManager",
    "Preset",
    "Project",
    "ProjectRootNotFoundError",
    "RefreshFailedError",
    "RefreshFailure",
    "RefreshMark",
    "RefreshPendingError",
    "RequestTimeoutError",
    "ResourcePool",
    "SchedulePeriod",
    "Session",
    "SessionEndedError",
    "StaleSnapshotError",
    "State",
    "Storage",
    "StorageError",
    "StorageReadError",
    "StorageVolume",
    "StorageWriteError",
    "SwitchOverriddenError",
    "TPUResource",
    "Token",
    "TokenExpired",
    "TokenRefusedError",
    "UnknownClusterError",
    "UnknownNameError",
    "UnknownOrgError",
    "UnknownPresetError",
    "UnknownProjectError",
    "UnsafePathError",
    "UnsupportedSystemError",
    "UserConfigError",
    "WrongStateError",
    "__version__",
    "find_project_root",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> List[str]:
    return sorted({*globals(), *_MODULES})
