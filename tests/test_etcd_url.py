"""The URL of a login that is kept in etcd."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from neuro_config import StorageURLError
from neuro_config._etcd_url import Endpoint, EtcdURL, parse_url


@pytest.mark.parametrize(
    ("url", "expected", "location"),
    [
        (
            "etcd+https://h1,h2:4001,[::1]/a/b",
            EtcdURL(
                (Endpoint("h1", 2379), Endpoint("h2", 4001), Endpoint("::1", 2379)),
                "a/b",
            ),
            "etcd+https://h1:2379,h2:4001,[::1]:2379/a/b",
        ),
        (
            "etcd+https://us%40er@Host.example/p/?ca=/ca.pem&cert=c&key=k&password_file=/p",
            EtcdURL(
                (Endpoint("host.example", 2379),),
                "p",
                user="us@er",
                ca="/ca.pem",
                cert="c",
                key="k",
                password_file="/p",
            ),
            "etcd+https://host.example:2379/p",
        ),
        (
            "etcd+http://127.0.0.1:1,localhost,[::1]:2/p",
            EtcdURL(
                (
                    Endpoint("127.0.0.1", 1),
                    Endpoint("localhost", 2379),
                    Endpoint("::1", 2),
                ),
                "p",
                is_secure=False,
            ),
            "etcd+http://127.0.0.1:1,localhost:2379,[::1]:2/p",
        ),
    ],
)
def test_what_a_url_says(url: str, expected: EtcdURL, location: str) -> None:
    """A URL is read into its parts, and the location names neither user nor files."""
    parsed = parse_url(url)
    assert expected == parsed
    assert location == parsed.location
    assert parsed.location == parse_url(parsed.location).location


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("etcd+https://h:1", "needs a prefix"),
        ("etcd+https://h/", "needs a prefix"),
        ("etcd+https://h/a//b", "needs a prefix"),
        ("etcd+https://h/a%00b", "needs a prefix"),
        ("etcd+https://h/a\nb", "form"),
        ("etcd+https://h/a#b", "form"),
        ("etcd+https://@h/a", "form"),
        ("etcd+https:/h/a", "no place that is known"),
        ("redis://h/a", "no place that is known"),
        ("etcd+https:///a", "needs hosts"),
        ("etcd+https://h,/a", "needs hosts"),
        ("etcd+https://h:x/a", "needs hosts"),
        ("etcd+https://h:65536/a", "65536"),
        ("etcd+https://h:0/a", "port 0"),
        ("etcd+https://h/a?password=x", "nothing else"),
        ("etcd+https://h/a?ca=", "nothing else"),
        ("etcd+https://h/a?ca=1&ca=2", "once"),
        ("etcd+https://h/a?cert=1", "both"),
        ("etcd+https://h/a?key=1", "both"),
        ("etcd+https://h/a?password_file=1", "no user"),
        ("etcd+http://127.0.0.1/a?ca=1", "use etcd\\+https"),
        ("etcd+http://127.0.0.1/a?cert=1&key=1", "use etcd\\+https"),
        ("etcd+http://10.0.0.1/a", "this machine only"),
        ("etcd+http://127.0.0.1,h/a", "this machine only"),
    ],
)
def test_what_is_refused(url: str, reason: str) -> None:
    """A URL that names no storage is one error that says why."""
    with pytest.raises(StorageURLError, match=reason):
        parse_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "etcd+https://user:hunter2@h/p",
        "etcd+https://user:hunter2@h",
        "etcd+x://user:hunter2@h1,h2/p",
        "etcd+https://user:hun@ter2@h/p",
        "etcd+https://h/p?password=hunter2",
    ],
)
def test_no_password_in_the_url(url: str) -> None:
    """A password in a URL is refused, and no error shows it."""
    with pytest.raises(StorageURLError) as caught:
        parse_url(url)
    for part in ("hunter2", "hun@", "ter2"):
        assert part not in str(caught.value) + repr(caught.value)


@given(st.text())
def test_any_text(text: str) -> None:
    """Any text is a URL or one typed error."""
    for url in (text, f"etcd+https://{text}", f"etcd+https://h/p?{text}"):
        try:
            made = parse_url(url)
        except StorageURLError:
            continue
        assert made.endpoints
        assert made.prefix
