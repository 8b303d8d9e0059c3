"""What the environment says. PG* variables are libpq's own; ours begin with TOPICBASE_."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bridge import sealing

SCHEMES = {"mqtt": (1883, False, False), "mqtts": (8883, True, False), "ws": (80, False, True), "wss": (443, True, True)}


class SettingsError(ValueError):
    """A setting is wrong; the message names it and says how."""


@dataclass(frozen=True, slots=True)
class Settings:
    hosted_broker_url: str | None = None
    hosted_username: str | None = None
    hosted_password: str | None = field(default=None, repr=False)
    mosquitto_password_file: Path | None = None
    mosquitto_acl_file: Path | None = None
    mosquitto_pid_file: Path | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    private_keys: sealing.Keys | None = field(default=None, repr=False)
    private_key_fault: str | None = None
    allow_private_addresses: bool = False
    log_level: str = "INFO"
    integrations: bool = True


def _flag(name: str, value: str) -> bool:
    if value.lower() in ("1", "true", "yes", "on"):
        return True
    if value.lower() in ("", "0", "false", "no", "off"):
        return False
    raise SettingsError(f"{name}={value} is neither 1 nor 0")


def _address(name: str, value: str) -> tuple[str, int]:
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsError(f"{name}={value} is not host:port")
    return host.strip("[]") or "127.0.0.1", int(port)


def _broker_url(name: str, value: str) -> str:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise SettingsError(f"{name}={value}: {error}") from None
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise SettingsError(f"{name}={value} is not one of mqtt, mqtts, ws, wss://host:port")
    if parts.username or parts.password:
        raise SettingsError(f"{name} holds a user name; TOPICBASE_HOSTED_BROKER_USERNAME and …_PASSWORD_FILE are for that")
    if port == 0:
        raise SettingsError(f"{name}={value} has no valid port")
    return value


def _secret(name: str, value: str) -> str:
    try:
        return Path(value).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}={value} cannot be read: {error}") from None


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """Read and check all settings.

    Raises SettingsError for the first that is wrong.
    """
    env = os.environ if environment is None else environment

    def path(name: str) -> Path | None:
        return Path(env[name]) if env.get(name) else None

    url = env.get("TOPICBASE_HOSTED_BROKER_URL") or None
    password_file = env.get("TOPICBASE_HOSTED_BROKER_PASSWORD_FILE")
    metrics = env.get("TOPICBASE_METRICS_ADDRESS")
    host, port = _address("TOPICBASE_METRICS_ADDRESS", metrics) if metrics else ("127.0.0.1", None)
    mosquitto = [path(f"TOPICBASE_MOSQUITTO_{part}_FILE") for part in ("PASSWORD", "ACL", "PID")]
    if any(mosquitto) and not all(mosquitto):
        raise SettingsError("TOPICBASE_MOSQUITTO_PASSWORD_FILE, …_ACL_FILE and …_PID_FILE are set all three, or none")
    for name, file in zip(("PASSWORD", "ACL"), mosquitto, strict=False):
        if file is not None and not os.access(file.parent, os.W_OK | os.X_OK):
            raise SettingsError(f"TOPICBASE_MOSQUITTO_{name}_FILE={file}: its directory cannot be written to")
    key_file = path("TOPICBASE_PRIVATE_KEY_FILE")
    key, key_fault = None, None
    if key_file is not None and key_file.exists():
        try:
            key = sealing.read_key_file(key_file)
        except sealing.KeyFileError as error:
            raise SettingsError(f"TOPICBASE_PRIVATE_KEY_FILE={key_file} {error}") from None
    elif key_file is not None:
        key_fault = f"{key_file} does not exist; `topicbase keygen {key_file}` makes it"
    level = env.get("TOPICBASE_LOG_LEVEL", "INFO").upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise SettingsError(f"TOPICBASE_LOG_LEVEL={level} is none of DEBUG, INFO, WARNING, ERROR")
    return Settings(
        hosted_broker_url=_broker_url("TOPICBASE_HOSTED_BROKER_URL", url) if url else None,
        hosted_username=env.get("TOPICBASE_HOSTED_BROKER_USERNAME") or None,
        hosted_password=_secret("TOPICBASE_HOSTED_BROKER_PASSWORD_FILE", password_file) if password_file else None,
        mosquitto_password_file=mosquitto[0],
        mosquitto_acl_file=mosquitto[1],
        mosquitto_pid_file=mosquitto[2],
        metrics_host=host,
        metrics_port=port,
        private_keys=key,
        private_key_fault=key_fault,
        allow_private_addresses=_flag("TOPICBASE_ALLOW_PRIVATE_ADDRESSES", env.get("TOPICBASE_ALLOW_PRIVATE_ADDRESSES", "")),
        log_level=level,
    )
