"""A small HTTP client for the demo, so that it goes through the same door as everybody, without another dependency."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlencode, urlsplit

from ledger.errors import Busy, LedgerError
from ledger.ids import new_id

Json = dict[str, Any]

TIMEOUT_S = 30
CREATED, OK = 201, 200


class HttpFailed(LedgerError):
    """The service answered something else than was asked for."""

    code = "http-failed"

    def __init__(self, request: str, status: int, problem: Json) -> None:
        said = " ".join(str(problem[name]) for name in ("detail", "help") if problem.get(name))
        super().__init__(f"{request} was answered {status}: {said or 'without a problem document'}")
        self.status = status
        self.problem = problem


class Client:
    """Speaks to one service, with one token."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        self._place = urlsplit(url).netloc
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def answers(self, path: str) -> bool:
        """Tells whether a GET is answered with 200."""
        try:
            return self._send("GET", path, None)[0] == OK
        except (OSError, http.client.HTTPException):
            return False

    def late(self) -> Busy:
        """Returns the error of a service that did not become ready."""
        return Busy(f"The service on {self.url} does not become ready.", help="The log above says why.")

    def get(self, path: str, **query: object) -> Json:
        """Returns what a GET shows.

        Raises:
            HttpFailed: the answer is not 200.
        """
        target = f"{path}?{urlencode(query)}" if query else path
        status, body = self._send("GET", target, None)
        if status != OK:
            raise HttpFailed(f"GET {path}", status, body)
        return body

    def post(self, path: str, form: Json) -> Json:
        """Sends a command under a new idempotency key and returns the answer.

        Raises:
            HttpFailed: the answer is not 201.
        """
        status, body = self._send("POST", path, form)
        if status != CREATED:
            raise HttpFailed(f"POST {path}", status, body)
        return body

    def _send(self, method: str, target: str, form: Json | None) -> tuple[int, Json]:
        headers = dict(self._headers)
        body = None
        if form is not None:
            body = json.dumps(form).encode()
            headers |= {"Content-Type": "application/json", "Idempotency-Key": str(new_id())}
        connection = http.client.HTTPConnection(self._place, timeout=TIMEOUT_S)
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        found = json.loads(content) if content else {}
        return answer.status, found if isinstance(found, dict) else {}
