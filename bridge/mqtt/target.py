"""Where an integration's broker is and how to speak to it, from the integration's settings."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from bridge import sealing
from bridge.settings import SCHEMES, Settings

TEST_TOPIC = "/topicbase/test/"  # what lies between an organization's prefix and the token that a connection test publishes
TOKEN_BYTES = 16


class TargetError(ValueError):
    """The settings do not lead to a broker; the message says why, and holds no secret."""


@dataclass(frozen=True, slots=True)
class Target:
    host: str
    port: int
    client_id: str
    tls: bool = False
    websockets: bool = False
    path: str = "/mqtt"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    mqtt_version: int = 5  # protocol level: 4 is 3.1.1
    keepalive: int = 30
    clean_start: bool = False
    session_expiry: int = 86400
    max_in_flight: int = 500
    inbound_per_second: int | None = None
    verify_certificate: bool = True
    ca_certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = field(default=None, repr=False)
    server_name: str | None = None
    alpn: tuple[str, ...] = ()
    status_topic: str | None = None
    trusted: bool = False  # its address may be private, whatever tenants are allowed

    @property
    def keeps_session(self) -> bool:
        """Whether the broker keeps the session, and messages for it, between two connections."""
        return not self.clean_start and self.session_expiry > 0

    def session(self) -> tuple[str, int, str, int]:
        """Targets that have this in common get the same session at the broker."""
        return self.host, self.port, self.client_id, self.mqtt_version


def default_client_id(integration_id: UUID) -> str:
    """A client id that every MQTT 3.1.1 broker accepts: at most 23 letters and digits (section 3.1.3.1)."""
    return "topicbase" + integration_id.hex[:14]


def _secret(name: str, value: Any, keys: sealing.Keyring | None) -> str | None:
    if sealing.is_sealed(value):
        try:
            return sealing.unseal(keys, value)
        except ValueError as error:
            raise TargetError(f"settings.{name}: {error}") from None
    return value if isinstance(value, str) else None


def of_url(url: str, client_id: str, username: str | None, password: str | None, *, trusted: bool) -> Target:
    parts = urlsplit(url)
    port, tls, websockets = SCHEMES[parts.scheme]
    return Target(
        host=parts.hostname or "",
        port=parts.port or port,
        client_id=client_id,
        tls=tls,
        websockets=websockets,
        path=parts.path or "/mqtt",
        username=username,
        password=password,
        trusted=trusted,
    )


def of_integration(integration_id: UUID, integration_type: str, options: dict[str, Any], settings: Settings) -> Target:
    """The broker of an integration.

    Raises TargetError when there is none, or a secret cannot be opened.
    """
    client_id = str(options.get("client_id") or default_client_id(integration_id))
    if integration_type == "mqtt_hosted":
        if settings.hosted_broker_url is None:
            raise TargetError("this bridge has no hosted broker (TOPICBASE_HOSTED_BROKER_URL)")
        hosted = of_url(
            settings.hosted_broker_url, default_client_id(integration_id), settings.hosted_username, settings.hosted_password, trusted=True
        )
        return dataclasses.replace(
            hosted, status_topic=options.get("status_topic"), inbound_per_second=options.get("inbound_max_per_second")
        )
    url = str(options.get("broker_url") or "")
    scheme = str(options.get("protocol") or "mqtt")
    if "://" in url:
        scheme = url.split("://", 1)[0].lower()
        if scheme not in SCHEMES:
            raise TargetError(f"settings.broker_url: {scheme} is not one of mqtt, mqtts, ws, wss")
    elif options.get("use_tls"):
        scheme = {"mqtt": "mqtts", "ws": "wss"}.get(scheme, scheme)
    try:
        parts = urlsplit(url if "://" in url else f"//[{url}]" if url.count(":") > 1 else f"//{url}")
        port = int(options.get("port") or parts.port or SCHEMES[scheme][0])
    except (ValueError, KeyError):
        raise TargetError("settings.broker_url, settings.port or settings.protocol does not give the address of a broker") from None
    if not parts.hostname:
        raise TargetError("settings.broker_url is missing")
    alpn = options.get("alpn") or ()
    return Target(
        host=parts.hostname,
        port=port,
        client_id=client_id,
        tls=SCHEMES[scheme][1],
        websockets=SCHEMES[scheme][2],
        path=str(options.get("path") or parts.path or "/mqtt"),
        username=options.get("username"),
        password=_secret("password", options.get("password"), settings.private_keys),
        mqtt_version=4 if str(options.get("mqtt_version", "5")).startswith(("3", "4")) else 5,
        keepalive=int(options.get("keepalive") or 30),
        clean_start=bool(options.get("clean_start", False)),
        session_expiry=int(options.get("session_expiry", 86400)),
        max_in_flight=min(int(options.get("outbound_max_in_flight") or 500), 60000),
        inbound_per_second=options.get("inbound_max_per_second"),
        verify_certificate=options.get("verify_certificate", True) is not False,
        ca_certificate=options.get("ca_certificate"),
        client_certificate=options.get("client_certificate"),
        client_key=_secret("client_key", options.get("client_key"), settings.private_keys),
        server_name=options.get("server_name"),
        alpn=tuple(str(name) for name in alpn),
        status_topic=options.get("status_topic"),
        trusted=settings.allow_private_addresses,
    )
