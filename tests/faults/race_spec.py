"""What a shared login does, in a few lines: the specification that races are judged by.

It knows nothing of the package: a disk holds a ``Login`` or none, each act happens at one
moment, and time stands still while it is judged. A token is told by its login's grant and
a number, from 0: the authorization server gives the next number for each refresh, and
nothing else does.
"""

from __future__ import annotations

from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from linear import Act

Org = Optional[str]
Offers = Dict[str, Dict[Org, List[str]]]  # cluster: {org: projects}
Choice = Tuple[str, Org, Optional[str]]  # cluster, org and project

EARLY = 75  # hundredths of a token's life; from then on a refresh is tried
END = 100


class Login(NamedTuple):
    """A login on the disk, or as a store shows it.

    Args:
        grant: Which login it is.
        number: Of its token.
        issued: When the token was issued, in hundredths of a life.
        choice: Of cluster, org and project.
        spent: Whether the refresh token is marked as sent.
        over: Whether it is known to be dead.
    """

    grant: int
    number: int
    issued: int
    choice: Choice
    spent: bool = False
    over: bool = False

    @property
    def token(self) -> Tuple[int, int]:
        return self.grant, self.number


class Did(NamedTuple):
    """What somebody did, and what that brought.

    Args:
        name: Of the act.
        held: What the store showed before.
        argument: What to switch to, or the login that is stored.
        error: Class of the error, ``None`` if there was none.
        token: The token that was returned, if one was.
        shows: What the store showed afterwards; an empty tuple if nobody looked.
        died: Nobody knows what it brought: who did it was killed.
    """

    name: str
    held: Optional[Login] = None
    argument: object = None
    error: Optional[str] = None
    token: Optional[Tuple[int, int]] = None
    shows: Optional[Tuple[object, ...]] = ()
    died: bool = False


class _Outcome(NamedTuple):
    disk: Optional[Login]
    shown: Optional[Login]
    token: Optional[Tuple[int, int]] = None
    error: Optional[str] = None


def visible(login: Optional[Login]) -> Optional[Tuple[object, ...]]:
    """Tell what is visible of a login while others refresh its token."""
    return None if login is None else (*login.token, login.choice)


def act(begin: float, end: float, did: Did, *, refuses: bool = False) -> List[Act]:
    """Make the acts of a history of what somebody did.

    Args:
        begin: Before it was done.
        end: After it.
        did: What it was.
        refuses: Whether the disk does, now and then: others can see an answer that is
            not saved yet, and whose login is over when it is to be saved.
    """
    reads = did.error is not None or did.name in ("read", "token", "disk")
    acts = [Act(begin, end, did, certain=not did.died, reads=reads)]
    ended = refuses and did.error is not None
    if did.name == "fetch" or (ended and did.name in ("token", "refresh_token")):
        first = did._replace(name="renew", argument=did.name, error=None, shows=())
        acts.append(Act(begin, end, first, certain=False))
    return acts


class Spec:
    """The specification at one time.

    Args:
        now: In hundredths of a token's life.
        offers: What the platform offers.
        refuses: Whether the disk does, now and then; who is told so has changed nothing.
    """

    def __init__(self, now: int, offers: Offers, *, refuses: bool = False) -> None:
        self._now = now
        self._offers = offers
        self._refuses = refuses

    def apply(self, disk: Optional[Login], did: Did) -> Iterator[Optional[Login]]:
        """Tell what may be on the disk after an act that brought what it did."""
        for outcome in self._outcomes(disk, did):
            told = did.error, did.token, did.shows
            shows = () if did.shows == () else visible(outcome.shown)
            if did.died or told == (outcome.error, outcome.token, shows):
                yield outcome.disk

    def _outcomes(self, disk: Optional[Login], did: Did) -> Iterator[_Outcome]:
        held = did.held
        if self._refuses:
            yield _Outcome(disk, held, error="StorageWriteError")
        if did.name == "read":
            yield _Outcome(disk, disk)
        elif did.name == "disk":  # a look at all that is there, when all is quiet
            if disk == did.argument:
                yield _Outcome(disk, None)
        elif did.name == "login":
            assert isinstance(did.argument, Login)
            yield _Outcome(did.argument, did.argument)
        elif did.name == "logout":
            yield _Outcome(None, None)
        elif did.name == "token" and held is not None and self._is_fresh(held):
            yield _Outcome(disk, held, held.token)
        elif disk is None:
            yield _Outcome(None, None, error="NotLoggedInError")
        elif held is None or held.grant != disk.grant:
            yield _Outcome(disk, held, error="LoginChangedError")
        else:
            yield from _ACTS[did.name](self, disk, held, did)

    def _switch(self, disk: Login, held: Login, did: Did) -> Iterator[_Outcome]:
        cluster, org, _ = disk.choice
        is_known = did.argument in self._offers[cluster][org]
        if did.name == "switch_project" and not is_known:
            yield _Outcome(disk, held, error="UnknownProjectError")
            return
        new = disk._replace(choice=self._chosen(disk.choice, did))
        yield _Outcome(new, new)

    def _chosen(self, choice: Choice, did: Did) -> Choice:
        cluster, org, project = choice
        name = did.argument
        assert isinstance(name, str)
        if did.name == "switch_project":
            return cluster, org, name
        if did.name == "switch_cluster":
            cluster = name
            if org not in self._offers[cluster]:
                org = min(
                    self._offers[cluster], key=lambda one: (one is None, one or "")
                )
        else:
            org = name
            if org not in self._offers[cluster]:
                cluster = next(one for one, orgs in self._offers.items() if org in orgs)
        projects = sorted(self._offers[cluster][org])
        if project not in projects:
            project = projects[0] if projects else None
        return cluster, org, project

    def _fetch(self, disk: Login, held: Login, did: Did) -> Iterator[_Outcome]:
        if not self._is_expired(disk):
            yield _Outcome(disk, disk)
        else:
            for outcome in self._renewed(disk, held, did):
                if outcome.error or did.died:
                    yield outcome

    def _renew(self, disk: Login, held: Login, did: Did) -> Iterator[_Outcome]:
        """Do the first part of what ``argument`` names."""
        if self._is_expired(disk) or (
            did.argument == "refresh_token" and held.token == disk.token
        ):
            for outcome in self._renewed(disk, held, did):
                if outcome.error is None:
                    yield outcome._replace(token=None)

    def _token(self, disk: Login, held: Login, did: Did) -> Iterator[_Outcome]:
        if self._is_expired(disk):
            yield from self._renewed(disk, held, did)
            return
        yield _Outcome(disk, disk, disk.token)
        if not self._is_fresh(disk) and not disk.spent:
            yield from self._renewed(disk, held, did)

    def _refresh_token(self, disk: Login, held: Login, did: Did) -> Iterator[_Outcome]:
        if disk.token != held.token and not self._is_expired(disk):
            yield _Outcome(disk, disk)
            return
        for outcome in self._renewed(disk, held, did):
            yield outcome._replace(token=None)

    def _renewed(self, disk: Login, held: Login, did: Did) -> Iterator[_Outcome]:
        """Spend the refresh token, if that may be done."""
        if disk.over:
            yield _Outcome(disk, held, error="SessionEndedError")
            return
        if disk.spent and not self._is_expired(disk):
            yield _Outcome(disk, held, error="RefreshPendingError")
            return
        new = Login(disk.grant, disk.number + 1, self._now, disk.choice)
        yield _Outcome(new, new, new.token)
        if did.died:
            yield _Outcome(disk._replace(spent=True), held)
        if disk.spent:  # sent once more
            yield _Outcome(disk._replace(over=True), held, error="SessionEndedError")

    def _age(self, login: Login) -> int:
        return self._now - login.issued

    def _is_expired(self, login: Login) -> bool:
        return self._age(login) >= END

    def _is_fresh(self, login: Login) -> bool:
        return self._age(login) < (END if login.over else EARLY)


_Rule = Callable[[Spec, Login, Login, Did], Iterator[_Outcome]]
_ACTS: Dict[str, _Rule] = {
    "switch_cluster": Spec._switch,
    "switch_org": Spec._switch,
    "switch_project": Spec._switch,
    "fetch": Spec._fetch,
    "renew": Spec._renew,
    "token": Spec._token,
    "refresh_token": Spec._refresh_token,
}
