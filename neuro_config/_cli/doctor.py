"""``neuro-config doctor``: find what is wrong, and mend what is safe to mend."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Mapping, Optional, Tuple

import click

from neuro_config._cli._base import Command, ExitCode, Settings, table, words_of
from neuro_config._errors import ConfigError

if TYPE_CHECKING:
    from neuro_config._doctor import Examined, Mended, Patient


@click.command(cls=Command)
@click.option("--fix", "is_fixing", is_flag=True, help="Mend what is safe to mend.")
@click.pass_context
def command(context: click.Context, is_fixing: bool) -> None:
    """Find out what is wrong with the login's directory.

    With --fix our own files are made private again, and what surely nobody uses any
    more is removed; a login never is. Ends with 0 if all is well (by now), else with
    12.
    """
    from neuro_config import _store
    from neuro_config._doctor import Level, cure, examine

    settings = context.ensure_object(Settings)
    patient = _patient(settings.path, _store.DEFAULT_API_URL)
    found, outcomes = cure(patient) if is_fixing else (examine(patient), [])
    # The very objects: two findings may say the same.
    mended = {id(one.finding): one for one in outcomes}
    settings.say(
        lambda: table(
            ("check", "", "finding"),
            [
                (one.check, _state(one, mended)[0], _sentence(one, mended))
                for one in found
            ],
        ),
        {"findings": [_json(one, mended) for one in found]},
    )
    states = [_state(one, mended) for one in found]
    if any(level not in (Level.OK.value, "mended") for level, _ in states):
        context.exit(ExitCode.PROBLEMS)


def _patient(path: Optional[str], api_url: str) -> Patient:
    from neuro_config._doctor import Patient
    from neuro_config._files import open_storage

    storage, directory = open_storage(path)
    if storage.location == directory.location:
        return Patient(directory, api_url)
    from neuro_config._etcd import EtcdStorage
    from neuro_config._etcd_doctor import checks_of

    assert isinstance(storage, EtcdStorage)
    return Patient(directory, api_url, storage=storage, checks=checks_of(storage))


Outcomes = Mapping[int, "Mended"]


def _state(one: Examined, mended: Outcomes) -> Tuple[str, Optional[str]]:
    outcome = mended.get(id(one.finding))
    if outcome is None:
        return one.finding.level.value, None
    return "mended" if outcome.is_mended else one.finding.level.value, outcome.said


def _sentence(one: Examined, mended: Outcomes) -> str:
    _, said = _state(one, mended)
    finding = one.finding
    where = "" if finding.path is None else f"{finding.path}: "
    parts: List[str] = [f"{where}{finding.what}", said or finding.advice]
    return words_of(ConfigError(" ".join(filter(None, parts))))


def _json(one: Examined, mended: Outcomes) -> Mapping[str, object]:
    finding = one.finding
    state, said = _state(one, mended)
    return {
        "check": one.check,
        "level": finding.level.value,
        "path": finding.path,
        "what": words_of(ConfigError(finding.what)),
        "advice": words_of(ConfigError(finding.advice)),
        "can_be_fixed": finding.fix is not None,
        "is_fixed": state == "mended",
        "fix_said": said,
    }
