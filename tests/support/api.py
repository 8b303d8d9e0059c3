"""Callers of the HTTP API: an app with a token, a device with its credentials."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from tests.support import contract

TIMEOUT = 70.0  # above the longest long poll


class _LastAfterHead(HTTPAdapter):
    """PostgREST closes the connection after its answer to HEAD without saying so: the next request on it would be lost."""

    def add_headers(self, request: requests.PreparedRequest, **_: Any) -> None:
        if request.method == "HEAD":
            request.headers["Connection"] = "close"


def _session() -> requests.Session:
    session = requests.Session()
    session.mount("http://", _LastAfterHead())
    session.hooks["response"].append(contract.check)
    return session


@dataclass
class Api:
    """PostgREST's side of the stack, or the gateway's `/rest/v1`."""

    url: str
    session: requests.Session = field(default_factory=_session)

    def call(
        self,
        rpc: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        data: bytes | str | None = None,
        method: str = "POST",
        timeout: float = TIMEOUT,
    ) -> requests.Response:
        """POST `body` as JSON, or `data` as it is, to `/rpc/<rpc>`; nothing is raised for any status."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if data is None:
            return self.session.request(method, f"{self.url}/rpc/{rpc}", json={} if body is None else body, headers=sent, timeout=timeout)
        sent.setdefault("Content-Type", "application/json")
        return self.session.request(method, f"{self.url}/rpc/{rpc}", data=data, headers=sent, timeout=timeout)

    def ok(self, rpc: str, body: Any = None, *, token: str | None = None, headers: Mapping[str, str] | None = None) -> Any:
        """As `call`, for what must succeed: the answer's JSON, or None when it has no body."""
        response = self.call(rpc, body, token=token, headers=headers)
        assert response.ok, f"{rpc} answered {response.status_code}: {response.text}"
        return response.json() if response.content else None

    def rows(self, view: str, *, token: str | None = None, **filters: str) -> list[dict[str, Any]]:
        """The rows of a view, with PostgREST's filters (`id="eq.1"`)."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        response = self.session.get(f"{self.url}/{view}", params=filters, headers=headers, timeout=TIMEOUT)
        assert response.ok, f"{view} answered {response.status_code}: {response.text}"
        rows: list[dict[str, Any]] = response.json()
        return rows


@dataclass(frozen=True)
class Device:
    """A device, with the credentials that `generate_mqtt_credentials` gave it."""

    api: Api
    username: str
    password: str
    client_id: str
    topic_prefix: str

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Username": self.username, "X-Password": self.password, "X-Client-ID": self.client_id}

    def topic(self, device_id: str = "sensor01", message_type: str = "telemetry") -> str:
        """A topic of the default pattern below this device's prefix."""
        return f"{self.topic_prefix.rstrip('/')}/devices/{device_id}/{message_type}"

    def send(self, payload: Any, topic: str | None = None, **arguments: Any) -> requests.Response:
        return self.api.call("mqtt_ingest", {"topic": topic or self.topic(), "payload": payload, **arguments}, headers=self.headers)

    def send_batch(self, messages: list[Any]) -> requests.Response:
        return self.api.call("mqtt_ingest_batch", {"messages": messages}, headers=self.headers)


def one(answer: Any) -> dict[str, Any]:
    """The row of an answer that is a row, or a list of one."""
    if isinstance(answer, list):
        assert len(answer) == 1, answer
        answer = answer[0]
    assert isinstance(answer, dict), answer
    return answer
