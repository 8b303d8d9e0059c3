"""The settings, from the environment and the settings file. PG* variables are libpq's own; ours begin with TOPICBASE_."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nacl.public

from bridge import sealing

SCHEMES = {"mqtt": (1883, False, False), "mqtts": (8883, True, False), "ws": (80, False, True), "wss": (443, True, True)}
SECRETS = ("PGPASSWORD", "TOPICBASE_TOKEN")
# What takes the place of others where both are set, with libpq and with commands.
PREFERRED = {
    "PGPASSWORD": {"PGPASSFILE"},
    "PGHOSTADDR": {"PGHOST"},
    "PGSERVICE": {"PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGPASSFILE"},
    "TOPICBASE_TOKEN": {"TOPICBASE_TOKEN_FILE"},
}
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*\Z")


class SettingsError(ValueError):
    """A setting is wrong; the message names it and says how."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What TABLE says, read and checked."""

    hosted_broker_url: str | None = None
    hosted_username: str | None = None
    hosted_password: str | None = field(default=None, repr=False)
    mosquitto_access_file: Path | None = None
    mosquitto_sessions_file: Path | None = None
    metrics_address: tuple[str, int] | None = None
    metrics_integrations: int = 100
    metrics_organizations: int = 20
    stream_address: tuple[str, int] = ("127.0.0.1", 8480)
    stream_heartbeat: int = 15
    private_keys: sealing.Keyring | None = field(default=None, repr=False)
    private_key_fault: str | None = None
    allow_private_addresses: bool = False
    log_level: str = "INFO"
    log_format: str = "text"


class Source:
    """Where settings come from: the environment, and a file of KEY=VALUE lines, if one is named.

    The environment wins, unless the file `overrides`: then it also hides what would take the place of something that the file has.
    """

    def __init__(self, path: Path | None = None, environment: Mapping[str, str] | None = None, *, overrides: bool = False) -> None:
        self.path = path
        self._overrides = overrides
        self._environment = dict(os.environ if environment is None else environment)
        self._exported: dict[str, str] = {}

    def values(self) -> dict[str, str]:
        """All variables. Raises SettingsError for a file that cannot be read or has a line that is not KEY=VALUE."""
        if self.path is None:
            return self._environment
        file = read_file(self.path)
        if not self._overrides:
            return {**file, **self._environment}
        return {name: value for name, value in self._environment.items() if not PREFERRED.get(name, set()) & file.keys()} | file

    def read(self) -> Settings:
        return read(self.values())

    def export(self) -> None:
        """Pass the PG* variables of the file on to libpq, which looks for them in the environment."""
        if self.path is not None:
            self._exported = {name: value for name, value in self.values().items() if name.startswith("PG")}
            for name in PREFERRED.keys() & os.environ.keys() - self.values().keys():
                del os.environ[name]
            os.environ.update(self._exported)

    def moved(self) -> list[str]:
        """The PG* variables whose value has changed since they were exported."""
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
            raise SettingsError(f"{path}, line {number}: not KEY=VALUE")
        name, value = match.groups()
        if name not in NAMES and not name.startswith("PG"):
            raise SettingsError(f"{path}, line {number}: unknown setting {name}; docs/reference/bridge.md lists them")
        if name in found:
            raise SettingsError(f"{path}, line {number}: {name} is set twice")
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


def _text(_name: str, value: str) -> str:
    return value


def _kept_file(name: str, value: str) -> Path:
    """A file that the bridge replaces, for which it makes another in its directory."""
    path = Path(value)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise SettingsError(f"{name}={value}: its directory cannot be written to")
    return path


def _level(name: str, value: str) -> str:
    level = value.upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise SettingsError(f"{name}={level} is none of DEBUG, INFO, WARNING, ERROR")
    return level


def _count(name: str, value: str) -> int:
    if not value.isascii() or not value.isdigit():
        raise SettingsError(f"{name}={value} is not a number")
    return int(value)


def _seconds(name: str, value: str) -> int:
    if not 0 < (seconds := _count(name, value)) <= 3600:
        raise SettingsError(f"{name}={value} is not between 1 and 3600")
    return seconds


def _form(name: str, value: str) -> str:
    form = value.lower()
    if form not in ("text", "json"):
        raise SettingsError(f"{name}={value} is neither text nor json")
    return form


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the table. `help` and `default` are for people, in Markdown; `see` is a page about it."""

    name: str
    help: str
    default: str = "none"
    see: str | None = None
    field: str | None = None  # of Settings, with what makes its value; None where more than one variable makes a field
    parse: Callable[[str, str], Any] = _text
    is_for_bridge: bool = True
    may_be_in_file: bool = True


TABLE = (
    Setting(
        "TOPICBASE_HOSTED_BROKER_URL",
        "URL of the broker that hosted integrations share: `mqtt`, `mqtts`, `ws` or `wss`, `://host:port`. "
        "Without it, this bridge serves external integrations only.",
        field="hosted_broker_url",
        parse=_broker_url,
    ),
    Setting("TOPICBASE_HOSTED_BROKER_USERNAME", "The bridge's own account at that broker.", field="hosted_username"),
    Setting(
        "TOPICBASE_HOSTED_BROKER_PASSWORD_FILE",
        "File that holds the password of that account.",
        field="hosted_password",
        parse=secret_of_file,
    ),
    Setting(
        "TOPICBASE_MOSQUITTO_ACCESS_FILE",
        "Access file that the bridge keeps in step with the credentials, when the hosted broker is a Mosquitto on the same machine.",
        see="docs/how-to/brokers/mosquitto.md",
        field="mosquitto_access_file",
        parse=_kept_file,
    ),
    Setting(
        "TOPICBASE_MOSQUITTO_SESSIONS_FILE",
        "File in which Mosquitto's plugin tells how often each login connected, and which the bridge removes once they are counted.",
        see="docs/how-to/brokers/mosquitto.md",
        field="mosquitto_sessions_file",
        parse=_kept_file,
    ),
    Setting(
        "TOPICBASE_METRICS_ADDRESS",
        "`host:port` of `/metrics` (Prometheus), `/healthz` and `/readyz`.",
        see="docs/reference/metrics.md",
        field="metrics_address",
        parse=_address,
    ),
    Setting(
        "TOPICBASE_METRICS_INTEGRATIONS",
        "How many integrations `/metrics` shows one by one, those that are down first.",
        default="`100`",
        see="docs/reference/metrics.md",
        field="metrics_integrations",
        parse=_count,
    ),
    Setting(
        "TOPICBASE_METRICS_ORGANIZATIONS",
        "How many organizations `/metrics` shows one by one, those that use most first.",
        default="`20`",
        see="docs/reference/metrics.md",
        field="metrics_organizations",
        parse=_count,
    ),
    Setting(
        "TOPICBASE_STREAM_ADDRESS",
        "`host:port` on which `topicbase stream` listens.",
        default="`127.0.0.1:8480`",
        see="docs/reference/stream.md",
        field="stream_address",
        parse=_address,
        is_for_bridge=False,
    ),
    Setting(
        "TOPICBASE_STREAM_HEARTBEAT",
        "Seconds after which the stream sends a comment or a ping where nothing else comes.",
        default="`15`",
        see="docs/reference/stream.md",
        field="stream_heartbeat",
        parse=_seconds,
        is_for_bridge=False,
    ),
    Setting(
        "TOPICBASE_PRIVATE_KEY_FILE",
        "Key that opens sealed secrets (broker passwords, client keys, webhook secrets), mode 600; `topicbase keygen` makes it.",
    ),
    Setting(
        "TOPICBASE_OLD_PRIVATE_KEY_FILES",
        "Keys that some secrets may still be sealed to, separated by `:`, until `topicbase reseal`.",
        see="docs/how-to/rotate-keys.md#the-sealing-key",
    ),
    Setting(
        "TOPICBASE_ALLOW_PRIVATE_ADDRESSES",
        "1: external brokers and callbacks may be at loopback, link-local or private addresses. "
        "The database asks the same of `mqtt.configuration.allow_private_addresses`.",
        default="0",
        field="allow_private_addresses",
        parse=_flag,
    ),
    Setting("TOPICBASE_LOG_LEVEL", "`DEBUG`, `INFO`, `WARNING` or `ERROR`.", default="`INFO`", field="log_level", parse=_level),
    Setting("TOPICBASE_LOG_FORMAT", "`text`, or `json`: an object per line.", default="`text`", field="log_format", parse=_form),
    Setting(
        "TOPICBASE_CONFIG",
        "File that holds any of these, and `PG*`, as `KEY=VALUE` lines. The rest of the environment wins over it, and "
        "`--config FILE` over both. It is read again on SIGHUP.",
        may_be_in_file=False,
    ),
    Setting(
        "TOPICBASE_API_URL",
        "URL of PostgREST, for `topicbase doctor` and the commands that act for a user, which also read the next three.",
        is_for_bridge=False,
    ),
    Setting(
        "TOPICBASE_STREAM_URL",
        "URL of the live stream, such as `https://api.example.com/stream`, for `topicbase tail` and `topicbase doctor`.",
        is_for_bridge=False,
    ),
    Setting("TOPICBASE_TOKEN", "A user's JWT.", is_for_bridge=False),
    Setting("TOPICBASE_TOKEN_FILE", "File that holds a user's JWT.", is_for_bridge=False),
    Setting(
        "TOPICBASE_JWT_SECRET_FILE",
        "File that holds PostgREST's `jwt-secret`, for `topicbase stream` and `topicbase token add`.",
        is_for_bridge=False,
    ),
    Setting("TOPICBASE_JWT_AUDIENCE", "PostgREST's `jwt-aud`, likewise.", default="`topicbase`", is_for_bridge=False),
)
NAMES = frozenset(setting.name for setting in TABLE if setting.may_be_in_file)


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
        raise SettingsError("TOPICBASE_OLD_PRIVATE_KEY_FILES is set, but TOPICBASE_PRIVATE_KEY_FILE, the current key, is not")
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
    found = {
        setting.field: setting.parse(setting.name, value)
        for setting in TABLE
        if setting.field is not None and (value := env.get(setting.name))
    }
    keys, key_fault = _keys(env)
    return Settings(**found, private_keys=keys, private_key_fault=key_fault)
