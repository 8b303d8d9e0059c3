"""What the environment and the settings file say. PG* variables are libpq's own; ours begin with TOPICBASE_."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import nacl.public

from bridge import sealing

SCHEMES = {"mqtt": (1883, False, False), "mqtts": (8883, True, False), "ws": (80, False, True), "wss": (443, True, True)}
NAMES = frozenset(
    f"TOPICBASE_{name}"
    for name in (
        "ALLOW_PRIVATE_ADDRESSES", "API_URL", "HOSTED_BROKER_PASSWORD_FILE", "HOSTED_BROKER_URL", "HOSTED_BROKER_USERNAME", "LOG_LEVEL",
        "METRICS_ADDRESS", "MOSQUITTO_ACL_FILE", "MOSQUITTO_PASSWORD_FILE", "MOSQUITTO_PID_FILE", "OLD_PRIVATE_KEY_FILES",
        "PRIVATE_KEY_FILE", "TOKEN", "TOKEN_FILE",
    )
)  # fmt: skip
SECRETS = ("PGPASSWORD", "TOPICBASE_TOKEN")
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*\Z")


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
    private_keys: sealing.Keyring | None = field(default=None, repr=False)
    private_key_fault: str | None = None
    allow_private_addresses: bool = False
    log_level: str = "INFO"


class Source:
    """Where settings come from: a file of KEY=VALUE lines, if one is named, and the environment, which wins."""

    def __init__(self, path: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._environment = dict(os.environ if environment is None else environment)
        self._exported: dict[str, str] = {}

    def values(self) -> dict[str, str]:
        """All variables. Raises SettingsError for a file that cannot be read or has a line that says nothing."""
        return {**(read_file(self.path) if self.path is not None else {}), **self._environment}

    def read(self) -> Settings:
        return read(self.values())

    def export(self) -> None:
        """Hand the PG* variables of the file on to libpq, which looks for them in the environment."""
        if self.path is not None:
            self._exported = {name: value for name, value in self.values().items() if name.startswith("PG")}
            os.environ.update(self._exported)

    def moved(self) -> list[str]:
        """The PG* variables that say something else than when they were exported."""
        now = {name: value for name, value in self.values().items() if name.startswith("PG")} if self.path is not None else {}
        return sorted(name for name in now.keys() | self._exported.keys() if now.get(name) != self._exported.get(name))


def read_file(path: Path) -> dict[str, str]:
    """A settings file: KEY=VALUE lines as systemd's EnvironmentFile has them, with comments (#) and quotes around a value.

    Raises SettingsError, which names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"TOPICBASE_CONFIG={path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith(("#", ";")):
            continue
        match = _LINE.match(line.strip())
        if match is None:
            raise SettingsError(f"{path}, line {number}: it is no KEY=VALUE")
        name, value = match.groups()
        if name not in NAMES and not name.startswith("PG"):
            raise SettingsError(f"{path}, line {number}: {name} is no setting; the README lists them")
        if name in found:
            raise SettingsError(f"{path}, line {number}: {name} is there already")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found[name] = value
    if mode & 0o077 and (secret := next((name for name in SECRETS if name in found), None)):
        raise SettingsError(f"{path} holds {secret} and may be read by others (mode {mode & 0o777:o}); make it 600")
    return found


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


def secret_of_file(name: str, value: str) -> str:
    try:
        return Path(value).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}={value} cannot be read: {error}") from None


def _keys(env: Mapping[str, str]) -> tuple[sealing.Keyring | None, str | None]:
    """The private keys, or why there are none."""

    def read_keys(name: str, path: str) -> tuple[nacl.public.PrivateKey, ...]:
        try:
            return sealing.read_key_file(Path(path))
        except sealing.KeyFileError as error:
            raise SettingsError(f"{name}={path} {error}") from None

    path = env.get("TOPICBASE_PRIVATE_KEY_FILE")
    old = [part for part in env.get("TOPICBASE_OLD_PRIVATE_KEY_FILES", "").split(os.pathsep) if part]
    if old and not path:
        raise SettingsError("TOPICBASE_OLD_PRIVATE_KEY_FILES is set, and TOPICBASE_PRIVATE_KEY_FILE, the present key, is not")
    if not path:
        return None, None
    if not Path(path).exists():
        return None, f"{path} does not exist; `topicbase keygen {path}` makes it"
    current, *others = read_keys("TOPICBASE_PRIVATE_KEY_FILE", path)
    for part in old:
        others += read_keys("TOPICBASE_OLD_PRIVATE_KEY_FILES", part)
    return sealing.Keyring(current, *others), None


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
    keys, key_fault = _keys(env)
    level = env.get("TOPICBASE_LOG_LEVEL", "INFO").upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise SettingsError(f"TOPICBASE_LOG_LEVEL={level} is none of DEBUG, INFO, WARNING, ERROR")
    return Settings(
        hosted_broker_url=_broker_url("TOPICBASE_HOSTED_BROKER_URL", url) if url else None,
        hosted_username=env.get("TOPICBASE_HOSTED_BROKER_USERNAME") or None,
        hosted_password=secret_of_file("TOPICBASE_HOSTED_BROKER_PASSWORD_FILE", password_file) if password_file else None,
        mosquitto_password_file=mosquitto[0],
        mosquitto_acl_file=mosquitto[1],
        mosquitto_pid_file=mosquitto[2],
        metrics_host=host,
        metrics_port=port,
        private_keys=keys,
        private_key_fault=key_fault,
        allow_private_addresses=_flag("TOPICBASE_ALLOW_PRIVATE_ADDRESSES", env.get("TOPICBASE_ALLOW_PRIVATE_ADDRESSES", "")),
        log_level=level,
    )
