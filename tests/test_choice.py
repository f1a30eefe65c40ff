"""The rules that pick a cluster, an org and a project."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

import pytest
from samples import as_line

from neuro_config import (
    Choice,
    NoClusterError,
    UnknownClusterError,
    UnknownOrgError,
    UnknownProjectError,
)
from neuro_config._catalog import Catalog, encode, in_memory
from neuro_config._choice import (
    available_orgs,
    checked,
    choose_cluster,
    choose_org,
    choose_project,
    effective,
    first_choice,
)
from neuro_config._payload import ServerConfig
from neuro_config._values import Project


def catalog(
    clusters: Dict[str, Optional[List[Optional[str]]]],
    *projects: Tuple[str, Optional[str], str],
) -> Catalog:
    config = ServerConfig(
        authorized=True,
        clusters=tuple(
            as_line({"name": name} if orgs is None else {"name": name, "orgs": orgs})
            for name, orgs in clusters.items()
        ),
        projects=tuple(
            Project(name=name, role="user", cluster_name=cluster, org_name=org)
            for cluster, org, name in projects
        ),
    )
    return in_memory(encode(config, "https://api.example/api/v1"))


CATALOG = catalog(
    {"zeta": ["umbrella", "acme", None], "alpha": ["acme"], "beta": ["NO_ORG"]},
    ("zeta", "acme", "vision"),
    ("zeta", "acme", "nlp"),
    ("zeta", None, "scratch"),
    ("alpha", "acme", "vision"),
    ("gone", "acme", "old"),
)
NOTHING = catalog({})


def test_first_choice() -> None:
    """A login starts on the first cluster as listed, with the first org and project."""
    assert Choice("zeta", "acme", "nlp") == first_choice(CATALOG)
    assert Choice() == first_choice(NOTHING)


@pytest.mark.parametrize(
    ("held", "name", "expected"),
    [
        (Choice("zeta", "acme", "vision"), "alpha", Choice("alpha", "acme", "vision")),
        (Choice("zeta", "acme", "nlp"), "alpha", Choice("alpha", "acme", "vision")),
        (Choice("zeta", "umbrella"), "alpha", Choice("alpha", "acme", "vision")),
        (Choice("zeta", None, "scratch"), "beta", Choice("beta", "NO_ORG", None)),
        (Choice("beta", "NO_ORG"), "zeta", Choice("zeta", "acme", "nlp")),
        (Choice("beta", None), "zeta", Choice("zeta", None, "scratch")),
    ],
)
def test_choose_cluster(held: Choice, name: str, expected: Choice) -> None:
    """The org and the project are kept where the cluster has them, else the first."""
    assert expected == choose_cluster(CATALOG, held, name)


def test_choose_unknown_cluster() -> None:
    """A cluster that does not exist is an error that lists those that do."""
    with pytest.raises(UnknownClusterError, match="'zeta', 'alpha', 'beta'") as caught:
        choose_cluster(CATALOG, Choice(), "nowhere")
    assert ("zeta", "alpha", "beta") == caught.value.available


@pytest.mark.parametrize(
    ("held", "name", "expected"),
    [
        (Choice("zeta", "umbrella"), "acme", Choice("zeta", "acme", "nlp")),
        (Choice("alpha", "acme", "vision"), "umbrella", Choice("zeta", "umbrella")),
        (Choice("alpha", "acme", "v"), None, Choice("zeta", None, "scratch")),
        (Choice("zeta", None), "NO_ORG", Choice("beta", "NO_ORG")),
        (Choice("gone", "x"), "acme", Choice("zeta", "acme", "nlp")),
    ],
)
def test_choose_org(held: Choice, name: Optional[str], expected: Choice) -> None:
    """The cluster stays if it has the org and else moves to the first that does."""
    assert expected == choose_org(CATALOG, held, name)


def test_choose_unknown_org() -> None:
    """An org that no cluster has is an error that lists all orgs, "no org" last."""
    with pytest.raises(UnknownOrgError) as caught:
        choose_org(CATALOG, Choice("zeta", "acme"), "evil")
    assert ("NO_ORG", "acme", "umbrella", None) == caught.value.available


def test_no_org_needs_a_cluster_that_allows_it() -> None:
    """switch_org(None) is refused where every cluster names its orgs."""
    with pytest.raises(UnknownOrgError):
        choose_org(catalog({"alpha": ["acme"]}), Choice("alpha", "acme"), None)


@pytest.mark.parametrize("orgs", [None, []])
def test_cluster_without_orgs(orgs: Optional[List[Optional[str]]]) -> None:
    """A cluster that names no orgs, as older platforms did, is for "no org"."""
    old = catalog({"default": orgs})
    assert Choice("default", None, None) == choose_cluster(old, Choice(), "default")
    assert [None] == available_orgs(old)


def test_choose_project() -> None:
    """A project is chosen among those of the cluster and org."""
    held = Choice("zeta", "acme", "nlp")
    assert Choice("zeta", "acme", "vision") == choose_project(CATALOG, held, "vision")
    with pytest.raises(UnknownProjectError, match="'nlp', 'vision'.*'zeta'.*'acme'"):
        choose_project(CATALOG, held, "scratch")


STORED = Choice("zeta", "umbrella", "p")


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        (Choice(), STORED),
        (Choice(project_name="mine"), Choice("zeta", "umbrella", "mine")),
        (Choice(cluster_name="alpha"), Choice("alpha", "acme", "vision")),
        (Choice("alpha", "acme", "mine"), Choice("alpha", "acme", "mine")),
        (Choice(org_name="acme"), Choice("zeta", "acme", "nlp")),
        (Choice("zeta"), Choice("zeta", "umbrella", None)),
        (Choice("alpha", "foreign"), Choice("alpha", "foreign", None)),
    ],
)
def test_effective(local: Choice, expected: Choice) -> None:
    """What the local file names wins, and the rules pick what it leaves open."""
    assert expected == effective(CATALOG, STORED, local)


def test_effective_unknown() -> None:
    """A local file that names a cluster which does not exist is an error."""
    with pytest.raises(UnknownClusterError):
        effective(CATALOG, STORED, Choice("nowhere"))


def test_checked() -> None:
    """A choice is held against what there is, from the cluster down."""
    good = Choice("zeta", None, "scratch")
    assert good == checked(CATALOG, good)
    assert Choice("beta", "NO_ORG") == checked(CATALOG, Choice("beta", "NO_ORG"))
    with pytest.raises(NoClusterError):
        checked(NOTHING, good)
    with pytest.raises(UnknownClusterError):
        checked(CATALOG, Choice("gone"))
    with pytest.raises(UnknownOrgError, match="'acme'.*'alpha'"):
        checked(CATALOG, Choice("alpha", None))
    with pytest.raises(UnknownProjectError):
        checked(CATALOG, Choice("zeta", "acme", "old"))
