"""One login on the Neu.ro/Apolo platform for any number of processes.

Names are imported when they are first asked for: a process that only wants a token
pays for nothing else.
"""

from typing import TYPE_CHECKING, Any, Dict, List

if TYPE_CHECKING:
    from ._attempts import (
        RefreshFailure as RefreshFailure,
        RefreshMark as RefreshMark,
    )
    from ._client import (
        Client as Client,
        get as get,
        login as login,
        login_headless as login_headless,
        login_with_token as login_with_token,
        logout as logout,
    )
    from ._errors import (
        AuthError as AuthError,
        CallbackPortError as CallbackPortError,
        CannotRefreshError as CannotRefreshError,
        ClientClosedError as ClientClosedError,
        CodeRefusedError as CodeRefusedError,
        ConfigError as ConfigError,
        ConnectionFailedError as ConnectionFailedError,
        DamagedFileError as DamagedFileError,
        ImportLoginError as ImportLoginError,
        InsecureURLError as InsecureURLError,
        InvalidCodeError as InvalidCodeError,
        InvalidTokenError as InvalidTokenError,
        LockTimeoutError as LockTimeoutError,
        LoginChangedError as LoginChangedError,
        LoginDeniedError as LoginDeniedError,
        LoginError as LoginError,
        LoginNotOfferedError as LoginNotOfferedError,
        LoginPresentError as LoginPresentError,
        LoginTimeoutError as LoginTimeoutError,
        MalformedAnswerError as MalformedAnswerError,
        NetworkError as NetworkError,
        NewerSchemaError as NewerSchemaError,
        NoClusterError as NoClusterError,
        NoProjectError as NoProjectError,
        NotLoggedInError as NotLoggedInError,
        PassedConfigError as PassedConfigError,
        PlatformError as PlatformError,
        PluginError as PluginError,
        ProjectRootNotFoundError as ProjectRootNotFoundError,
        RefreshFailedError as RefreshFailedError,
        RefreshPendingError as RefreshPendingError,
        RequestTimeoutError as RequestTimeoutError,
        SessionEndedError as SessionEndedError,
        StaleSnapshotError as StaleSnapshotError,
        StorageError as StorageError,
        StorageReadError as StorageReadError,
        StorageUnavailableError as StorageUnavailableError,
        StorageURLError as StorageURLError,
        StorageWriteError as StorageWriteError,
        StoreClosedError as StoreClosedError,
        SwitchOverriddenError as SwitchOverriddenError,
        TokenRefusedError as TokenRefusedError,
        UnknownClusterError as UnknownClusterError,
        UnknownNameError as UnknownNameError,
        UnknownOrgError as UnknownOrgError,
        UnknownPresetError as UnknownPresetError,
        UnknownProjectError as UnknownProjectError,
        UnsafePathError as UnsafePathError,
        UnsupportedSystemError as UnsupportedSystemError,
        UserConfigError as UserConfigError,
        WrongStateError as WrongStateError,
    )
    from ._etcd import (
        EtcdStorage as EtcdStorage,
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
        ConfigScope as ConfigScope,
        PluginManager as PluginManager,
    )
    from ._session import (
        AuthConfig as AuthConfig,
        Choice as Choice,
        Session as Session,
        Token as Token,
    )
    from ._states import (
        LoggedIn as LoggedIn,
        LoggedOut as LoggedOut,
        State as State,
        TokenExpired as TokenExpired,
    )
    from ._storage import (
        Storage as Storage,
    )
    from ._store import (
        DEFAULT_API_URL as DEFAULT_API_URL,
        Config as Config,
        ConfigStore as ConfigStore,
    )
    from ._values import (
        GPU as GPU,
        TPU as TPU,
        Apps as Apps,
        Cluster as Cluster,
        EnergySchedule as EnergySchedule,
        Org as Org,
        Preset as Preset,
        Project as Project,
        ResourcePool as ResourcePool,
        SchedulePeriod as SchedulePeriod,
        StorageVolume as StorageVolume,
        TPUResource as TPUResource,
    )
    from ._version import __version__ as __version__

_MODULES: Dict[str, str] = {
    "Apps": "_values",
    "AuthConfig": "_session",
    "AuthError": "_errors",
    "CallbackPortError": "_errors",
    "CannotRefreshError": "_errors",
    "Choice": "_session",
    "Client": "_client",
    "ClientClosedError": "_errors",
    "Cluster": "_values",
    "CodeRefusedError": "_errors",
    "Config": "_store",
    "ConfigBuilder": "_plugins",
    "ConfigError": "_errors",
    "ConfigScope": "_plugins",
    "ConfigStore": "_store",
    "ConnectionFailedError": "_errors",
    "DEFAULT_API_URL": "_store",
    "DamagedFileError": "_errors",
    "EnergySchedule": "_values",
    "EtcdStorage": "_etcd",
    "FileStorage": "_files",
    "GPU": "_values",
    "ImportLoginError": "_errors",
    "InsecureURLError": "_errors",
    "InvalidCodeError": "_errors",
    "InvalidTokenError": "_errors",
    "LockTimeoutError": "_errors",
    "LoggedIn": "_states",
    "LoggedOut": "_states",
    "LoginChangedError": "_errors",
    "LoginDeniedError": "_errors",
    "LoginError": "_errors",
    "LoginNotOfferedError": "_errors",
    "LoginPresentError": "_errors",
    "LoginTimeoutError": "_errors",
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
    "RefreshFailure": "_attempts",
    "RefreshMark": "_attempts",
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
    "StorageURLError": "_errors",
    "StorageUnavailableError": "_errors",
    "StorageVolume": "_values",
    "StorageWriteError": "_errors",
    "StoreClosedError": "_errors",
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
    "get": "_client",
    "login": "_client",
    "login_headless": "_client",
    "login_with_token": "_client",
    "logout": "_client",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> List[str]:
    return sorted({*globals(), *_MODULES})
