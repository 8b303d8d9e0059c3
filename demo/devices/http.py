"""Devices that POST: to the API, to the gateway, in batches."""

import base64
import json
import time
import uuid
from typing import Any

import requests

from demo.devices.base import Device, Setup, now

TRIES = 5


class HttpDevice(Device):
    """One POST per reading, to the API itself, with HTTP Basic."""

    way = "HTTP"
    path = "/rpc/mqtt_ingest"

    def __init__(self, setup: Setup, url: str) -> None:
        super().__init__(setup)
        self.url = url
        self._session = requests.Session()

    def headers(self, password: str) -> dict[str, str]:
        basic = base64.b64encode(f"{self.login.username}:{password}".encode()).decode()
        return {"Authorization": f"Basic {basic}", "X-Client-ID": self.login.client_id}

    def post(self, path: str, body: str, password: str | None = None) -> requests.Response:
        """POST, and repeat it when the answer is lost: the message ids prevent storing it twice."""
        headers = {"Content-Type": "application/json", **self.headers(password or self.login.password)}
        for attempt in range(TRIES):
            try:
                answer = self._session.post(self.url + path, data=body.encode(), headers=headers, timeout=10)
                if answer.status_code not in (429, 503):
                    return answer
            except requests.RequestException:
                if attempt == TRIES - 1:
                    raise
            time.sleep(0.2 * 2**attempt)
        return answer

    def message(self, number: int, **changed: Any) -> dict[str, Any]:
        payload = self.payload(number, **self._read())
        return {
            "topic": self.topic("telemetry"),
            "payload": payload,
            "qos": 1,
            "timestamp": payload["at"],
            "message_id": str(uuid.uuid4()),
            **changed,
        }

    def tick(self) -> None:
        number = self.counts.next()
        answer = self.post(self.path, json.dumps(self.message(number)))
        if answer.status_code == 202:
            self.counts.accept([number])
        else:
            self.counts.reject(number, slug(answer))

    def misbehave(self) -> None:
        for what, expected, changed in (
            ("a topic of another organization", "topic_not_allowed", {"topic": f"org_other/devices/{self.device_id}/telemetry"}),
            ("a wildcard in the topic", "topic_invalid", {"topic": f"{self.prefix}/#"}),
            ("QoS 3", "qos_invalid", {"qos": 3}),
        ):
            number = self.counts.next()
            self.refused(number, what, expected, slug(self.post(self.path, json.dumps(self.message(number, **changed)))))
        number = self.counts.next()
        body = json.dumps(self.message(number)).replace('"seq"', '"inflated": 1e100000, "seq"')
        self.refused(number, "a number that no database can hold", "payload_invalid", slug(self.post(self.path, body)))
        number = self.counts.next()
        answer = self.post(self.path, json.dumps(self.message(number)), password="wrong")  # noqa: S106
        self.refused(number, "a wrong password", "invalid_credentials", slug(answer))

    def finish(self) -> None:
        self._session.close()


class GatewayDevice(HttpDevice):
    """One POST per reading, to the gateway, with the URL and the headers of the Supabase function that Topicbase replaces."""

    way = "HTTP gateway"
    path = "/functions/v1/mqtt-ingest"

    def headers(self, password: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {password}", "X-Username": self.login.username, "X-Client-ID": self.login.client_id}


class BatchDevice(HttpDevice):
    """Twenty readings per POST; every tenth POST is sent twice, as if the answer had been lost."""

    way = "HTTP batch"
    path = "/rpc/mqtt_ingest_batch"
    size = 20

    def __init__(self, setup: Setup, url: str) -> None:
        super().__init__(setup, url)
        self._waiting: list[tuple[int, dict[str, Any]]] = []
        self._posts = 0

    def tick(self) -> None:
        number = self.counts.next()
        self._waiting.append((number, self.message(number)))
        if len(self._waiting) >= self.size:
            self._send()

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        for _, message in waiting:
            message["payload"]["at"] = now()  # when it was sent; its timestamp is when it was measured
        body = json.dumps({"messages": [message for _, message in waiting]})
        answer = self.post(self.path, body)
        self._posts += 1
        if self._posts % 10 == 3:
            answer = self.post(self.path, body)
        if answer.status_code != 202:
            for number, _ in waiting:
                self.counts.reject(number, slug(answer))
            return
        bad = {refusal["index"]: refusal["code"] for refusal in answer.json()["rejected"]}
        if answer.json()["accepted"] + len(bad) != len(waiting):
            self.counts.error(f"a batch of {len(waiting)} was answered {answer.text[:200]}")
        for index, (number, _) in enumerate(waiting):
            if index in bad:
                self.counts.reject(number, bad[index])
            else:
                self.counts.accept([number])

    def misbehave(self) -> None:
        """Bad messages among good ones: the good ones are kept, the bad ones are named."""
        self._send()
        expected = {}
        for changed, reason in (
            ({}, None),
            ({"topic": "org_other/devices/disk/telemetry"}, "topic_not_allowed"),
            ({}, None),
            ({"qos": 7}, "qos_invalid"),
            ({"timestamp": "yesterday, about noon"}, "timestamp_invalid"),
            ({}, None),
        ):
            number = self.counts.next()
            if reason:
                expected[number] = reason
            self._waiting.append((number, self.message(number, **changed)))
        self._send()
        _, rejected = self.counts.numbers()
        for number, reason in expected.items():
            if rejected.get(number) != reason:
                self.counts.error(f"a bad message in a batch: expected {reason}, was answered {rejected.get(number)}")

    def finish(self) -> None:
        self._send()
        super().finish()


def slug(answer: requests.Response) -> str:
    """The API's error slug."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
