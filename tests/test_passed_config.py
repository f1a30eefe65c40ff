"""The configuration that is passed into a job, and any text instead of it."""

from __future__ import annotations

import base64
import json
from typing import Dict, Optional, Union

import attrs
import pytest
from hypothesis import given, strategies as st

from neuro_config._catalog import Catalog, encode, in_memory
from neuro_config._errors import (
    PassedConfigError,
    UnknownClusterError,
    UnknownNameError,
    UnknownOrgError,
    UnknownProjectError,
)
from neuro_config._passed_config import PassedConfig, decode
from neuro_config._payload import parse_config
from neuro_config._session import Choice

SECRET = "the-secret-token"
FIELDS = {"token": SECRET, "cluster": "default", "url": "https://api.example/api/v1"}
PASSED = PassedConfig(**FIELDS)


def packed(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


@pytest.fixture
def catalog() -> Catalog:
    """Cluster ``default`` with the orgs acme and umbrella, ``farm`` with acme and zoo."""

    def cluster(name: str, *orgs: str) -> Dict[str, object]:
        urls = ("registry_url", "storage_url", "monitoring_url")
        return {"name": name, "orgs": orgs, **dict.fromkeys(urls, "https://x.example")}

    def project(name: str, org_name: str) -> Dict[str, object]:
        place = {"cluster_name": "default", "org_name": org_name}
        return {"name": name, "role": "admin", **place}

    answer = {
        "authorized": True,
        "clusters": [
            cluster("farm", "acme", "zoo"),
            cluster("default", "umbrella", "acme"),
        ],
        "projects": [project("main", "acme"), project("side", "umbrella")],
    }
    config = parse_config(json.dumps(answer).encode(), url="https://api.example")
    return in_memory(encode(config, "https://api.example"))


def test_decode() -> None:
    """A text becomes its values, and what it leaves out is absent."""
    assert PASSED == decode(packed(FIELDS), {})


def test_decode_everything() -> None:
    """The optional names are read, and an unknown field is ignored."""
    more = {"org_name": "acme", "project_name": "main"}
    expected = attrs.evolve(PASSED, **more)
    assert expected == decode(packed({**FIELDS, **more, "new": 1}), {})


def test_broken_lines() -> None:
    """Base64 with line ends, as tools make it, is read."""
    text = base64.encodebytes(json.dumps(FIELDS).encode()).decode()
    assert PASSED == decode(text, {})


def test_null_names_are_absent_names() -> None:
    """A name that is null is one that is absent."""
    nothing = {"org_name": None, "project_name": None}
    assert PASSED == decode(packed({**FIELDS, **nothing}), {})


@pytest.mark.parametrize(
    ("apolo", "neuro", "expected"),
    [("apolo", "neuro", "apolo"), (None, "neuro", "neuro"), ("", "neuro", "neuro")],
)
def test_environment(apolo: Optional[str], neuro: str, expected: str) -> None:
    """Without a text the environment has it, the newer variable first."""
    environ = {"NEURO_PASSED_CONFIG": packed({**FIELDS, "cluster": neuro})}
    if apolo is not None:
        text = packed({**FIELDS, "cluster": apolo}) if apolo else ""
        environ["APOLO_PASSED_CONFIG"] = text
    assert expected == decode(None, environ).cluster


def test_an_argument_wins() -> None:
    """A text that is given wins over the environment."""
    other = {"APOLO_PASSED_CONFIG": packed({**FIELDS, "cluster": "other"})}
    assert "default" == decode(packed(FIELDS), other).cluster


def test_no_configuration() -> None:
    """Without any configuration the error names both variables."""
    with pytest.raises(PassedConfigError) as caught:
        decode(None, {})
    assert (
        "Neither APOLO_PASSED_CONFIG nor NEURO_PASSED_CONFIG is set: the platform sets "
        "them in jobs that are started with the option to pass the configuration."
    ) == str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is not base64 of JSON."),
        ("%%%", "is not base64 of JSON."),
        ("ä", "is not base64 of JSON."),
        (base64.b64encode(b"\xff").decode(), "is not base64 of JSON."),
        (base64.b64encode(b"[" * 200000).decode(), "is not base64 of JSON."),
        (packed([SECRET]), "is not base64 of a JSON object."),
    ],
)
def test_malformed_text(text: str, expected: str) -> None:
    """A text that is no packed object is refused without being shown."""
    with pytest.raises(PassedConfigError) as caught:
        decode(text, {})
    assert f"config_data {expected}" == str(caught.value)


@pytest.mark.parametrize("key", ["token", "cluster", "url", "org_name", "project_name"])
@pytest.mark.parametrize("value", ["", 5, ["x"], "a\nb", "\ud800"])
def test_malformed_fields(key: str, value: object) -> None:
    """A value that is no printable text is refused; the error names it by its key."""
    text = packed({**FIELDS, key: value})
    with pytest.raises(PassedConfigError) as caught:
        decode(None, {"NEURO_PASSED_CONFIG": text})
    expected = f"NEURO_PASSED_CONFIG: {key} is missing or is no text."
    assert expected == str(caught.value)


@pytest.mark.parametrize("key", list(FIELDS))
def test_missing_fields(key: str) -> None:
    """Token, cluster and url are required."""
    fields = {name: value for name, value in FIELDS.items() if name != key}
    with pytest.raises(PassedConfigError, match=f"config_data: {key} is missing"):
        decode(packed(fields), {})


def test_repr() -> None:
    """The token is not shown."""
    assert SECRET not in repr(PASSED)


@given(
    st.text()
    | st.binary().map(lambda data: base64.b64encode(data).decode())
    | st.builds(
        packed,
        st.dictionaries(
            st.sampled_from(["token", "cluster", "url", "org_name", "project_name"]),
            st.none() | st.text() | st.integers() | st.floats(),
        ),
    )
)
def test_any_text(text: str) -> None:
    """Any text gives values that can be stored, or the one error without the text."""
    outcome: Union[PassedConfig, PassedConfigError]
    try:
        outcome = decode(text, {})
    except PassedConfigError as error:
        outcome = error
    if isinstance(outcome, PassedConfig):
        for value in attrs.astuple(outcome):
            assert value is None or value.encode()
    else:
        assert len(text) < 16 or text not in f"{outcome} {outcome!r}"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Choice("default", "acme", "main")),
        ({"cluster": "farm"}, Choice("farm", "acme", None)),
        ({"cluster": "farm", "org_name": "zoo"}, Choice("farm", "zoo", None)),
        ({"org_name": "umbrella"}, Choice("default", "umbrella", "side")),
        ({"project_name": "main"}, Choice("default", "acme", "main")),
    ],
)
def test_choose(changes: Dict[str, str], expected: Choice, catalog: Catalog) -> None:
    """What was passed is chosen, and for the rest the rules of switching hold."""
    assert expected == attrs.evolve(PASSED, **changes).choose(catalog)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cluster": "gone"}, UnknownClusterError),
        ({"cluster": "gone", "org_name": "acme"}, UnknownClusterError),
        ({"org_name": "gone"}, UnknownOrgError),
        ({"org_name": "zoo"}, UnknownOrgError),
        ({"project_name": "side"}, UnknownProjectError),
    ],
)
def test_choose_what_does_not_exist(
    changes: Dict[str, str], expected: type, catalog: Catalog
) -> None:
    """A name that the passed cluster and org do not have is an error, not another."""
    with pytest.raises(UnknownNameError) as caught:
        attrs.evolve(PASSED, **changes).choose(catalog)
    assert expected is type(caught.value)
