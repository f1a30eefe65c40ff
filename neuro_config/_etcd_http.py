"""The ``requests.Session`` that talks to a cluster of etcd."""

from __future__ import annotations

import os
from typing import Any

import requests

from ._etcd_clock import Times, uptime
from ._etcd_url import EtcdURL

ANSWER_LIMIT = 1 << 22  # bytes; a request has at most 1.5 MiB, base64 makes 2 of them


class EtcdSession(requests.Session):
    """Takes no setting from elsewhere, follows nothing, and reads a bounded answer."""

    def __init__(self, url: EtcdURL, times: Times) -> None:
        super().__init__()
        self.trust_env = False
        self.verify = os.path.expanduser(url.ca) if url.ca else True
        if url.cert is not None and url.key is not None:
            self.cert = os.path.expanduser(url.cert), os.path.expanduser(url.key)
        self.headers.update({"Accept-Encoding": "identity"})
        self._times = times

    def send(
        self, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        before = uptime()
        options.update(stream=True, allow_redirects=False)
        answer = super().send(request, **options)
        with answer:
            self._times.note(answer.headers.get("Date", ""), before, uptime())
            body = bytearray()
            while True:
                piece = answer.raw.read(1 << 16, decode_content=False)
                body += piece
                if not piece or len(body) > ANSWER_LIMIT:
                    break
        if len(body) > ANSWER_LIMIT:
            raise ValueError("too long")
        answer._content = bytes(body)
        return answer
