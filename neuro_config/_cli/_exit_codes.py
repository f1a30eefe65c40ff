"""How the command ends: one number for each kind of error."""

from __future__ import annotations

import enum
from typing import Dict, Type

from neuro_config import _errors as errors


class ExitCode(enum.IntEnum):
    """How the command ended; the numbers never change."""

    OK = 0
    FAILED = 1
    USAGE = 2  # click's own
    NOT_LOGGED_IN = 3
    CANNOT_REFRESH = 4
    UNKNOWN_NAME = 5
    NETWORK = 6
    LOCKED = 7
    DAMAGED = 8
    STORAGE = 9
    LOGIN_FAILED = 10
    SETTINGS = 11
    PROBLEMS = 12
    BUG = 70
    INTERRUPTED = 130


# An error that is not here has the code of its nearest base.
EXIT_CODES: Dict[Type[errors.ConfigError], ExitCode] = {
    errors.ConfigError: ExitCode.FAILED,
    errors.NotLoggedInError: ExitCode.NOT_LOGGED_IN,
    errors.CannotRefreshError: ExitCode.CANNOT_REFRESH,
    errors.AuthError: ExitCode.CANNOT_REFRESH,
    errors.UnknownNameError: ExitCode.UNKNOWN_NAME,
    errors.NetworkError: ExitCode.NETWORK,
    errors.LockTimeoutError: ExitCode.LOCKED,
    errors.DamagedFileError: ExitCode.DAMAGED,
    errors.NewerSchemaError: ExitCode.DAMAGED,
    errors.StorageError: ExitCode.STORAGE,
    errors.StorageUnavailableError: ExitCode.NETWORK,
    errors.LoginPresentError: ExitCode.FAILED,
    errors.StorageURLError: ExitCode.FAILED,
    errors.InsecureURLError: ExitCode.STORAGE,
    errors.UnsupportedSystemError: ExitCode.FAILED,
    errors.LoginError: ExitCode.LOGIN_FAILED,
    errors.LoginDeniedError: ExitCode.LOGIN_FAILED,
    errors.CodeRefusedError: ExitCode.LOGIN_FAILED,
    errors.InvalidTokenError: ExitCode.LOGIN_FAILED,
    errors.PassedConfigError: ExitCode.LOGIN_FAILED,
    errors.UserConfigError: ExitCode.SETTINGS,
    errors.SwitchOverriddenError: ExitCode.SETTINGS,
    errors.PluginError: ExitCode.SETTINGS,
}


def exit_code_of(error: Type[errors.ConfigError]) -> ExitCode:
    """Return the exit code of a kind of error."""
    return next(EXIT_CODES[base] for base in error.__mro__ if base in EXIT_CODES)
