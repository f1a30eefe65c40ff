"""The configuration that the platform passes into a job: base64 of a JSON object."""

from __future__ import annotations

import base64
import json
from typing import Mapping, Optional

import attr

from ._catalog import Catalog
from ._choice import checked, choose_cluster, choose_project, first_choice
from ._errors import PassedConfigError
from ._session import Choice, Secret

VARIABLES = ("APOLO_PASSED_CONFIG", "NEURO_PASSED_CONFIG")


@attr.frozen
class PassedConfig:
    """A login and a choice."""

    token: str = attr.field(converter=Secret)
    cluster: str
    url: str
    org_name: Optional[str] = None
    project_name: Optional[str] = None

    def choose(self, catalog: Catalog) -> Choice:
        """Choose what was passed.

        Raises:
            UnknownNameError: Something of it does not exist.
        """
        if self.org_name is None:
            held = first_choice(catalog)
        else:
            held = Choice(self.cluster, self.org_name)
            # Not choose_org: it would move to another cluster that has the org.
            checked(catalog, held)
        choice = choose_cluster(catalog, held, self.cluster)
        if self.project_name is not None:
            choice = choose_project(catalog, choice, self.project_name)
        return choice


def decode(config_data: Optional[str], environ: Mapping[str, str]) -> PassedConfig:
    """Read a passed configuration.

    Args:
        config_data: Base64 text; else it is looked for in the environment.
        environ: The environment variables.

    Raises:
        PassedConfigError: There is none, or it is malformed; the text holds none of it.
    """
    where = "config_data"
    if config_data is None:
        where = next((name for name in VARIABLES if environ.get(name)), "")
        config_data = environ.get(where)
    del environ  # no traceback shows it
    if config_data is None:
        raise PassedConfigError(
            f"Neither {' nor '.join(VARIABLES)} is set: the platform sets them in "
            "jobs that are started with the option to pass the configuration."
        )
    config_data = Secret(config_data)
    try:
        # Tools that make base64 break its lines.
        fields = json.loads(
            base64.b64decode("".join(config_data.split()), validate=True)
        )
    except (ValueError, RecursionError):
        raise PassedConfigError(f"{where} is not base64 of JSON.") from None
    if not isinstance(fields, dict):
        del fields
        raise PassedConfigError(f"{where} is not base64 of a JSON object.")
    token = fields.pop("token", None)
    if isinstance(token, str):
        fields["token"] = Secret(token)
    del token
    return PassedConfig(
        token=_text(fields, "token", where),
        cluster=_text(fields, "cluster", where),
        url=_text(fields, "url", where),
        org_name=_optional_text(fields, "org_name", where),
        project_name=_optional_text(fields, "project_name", where),
    )


def _optional_text(fields: Mapping[str, object], key: str, where: str) -> Optional[str]:
    return None if fields.get(key) is None else _text(fields, key, where)


def _text(fields: Mapping[str, object], key: str, where: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise PassedConfigError(f"{where}: {key} is missing or is no text.")
    return value
