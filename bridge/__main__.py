"""The command line: `topicbase …`, or `python -m bridge …`."""

import faulthandler
import signal
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import psycopg
import typer

from bridge import __version__, log, sealing, settings

app = typer.Typer(
    name="topicbase",
    help="The bridge of Topicbase: it holds the sockets between PostgreSQL and MQTT brokers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:  # typer's signature
    if wanted:
        typer.echo(f"topicbase {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


@app.command()
def run() -> None:
    """Run the bridge until SIGTERM or SIGINT.

    The database is found by libpq's own variables (PGHOST, PGPORT, PGDATABASE, PGUSER=mqtt_bridge, PGPASSFILE, PGSERVICE, ...).
    It must be a direct connection: a pooler takes LISTEN and session locks away, so the bridge refuses to work through one (exit code 2).

    \b
    TOPICBASE_HOSTED_BROKER_URL            mqtt://host:port of the broker that hosted integrations share
    TOPICBASE_HOSTED_BROKER_USERNAME       the bridge's account there
    TOPICBASE_HOSTED_BROKER_PASSWORD_FILE  file that holds its password
    TOPICBASE_MOSQUITTO_PASSWORD_FILE      files that the bridge keeps in step with the credentials,
    TOPICBASE_MOSQUITTO_ACL_FILE           when that broker is a Mosquitto on this machine,
    TOPICBASE_MOSQUITTO_PID_FILE           and whom to tell by SIGHUP
    TOPICBASE_METRICS_ADDRESS              host:port for /metrics, /healthz and /readyz
    TOPICBASE_PRIVATE_KEY_FILE             key that opens sealed broker passwords (topicbase keygen)
    TOPICBASE_ALLOW_PRIVATE_ADDRESSES      1: tenants may name brokers at private addresses
    TOPICBASE_LOG_LEVEL                    DEBUG, INFO (default), WARNING or ERROR
    """
    from bridge.coordinator import Coordinator  # noqa: PLC0415  # the other commands need no sockets

    try:
        chosen = settings.read()
    except settings.SettingsError as error:
        typer.echo(f"topicbase: {error}", err=True)
        raise typer.Exit(2) from None
    log.set_up(chosen.log_level)
    faulthandler.enable()
    try:
        bridge = Coordinator(chosen)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: bridge.request_stop())
        bridge.run()
        if bridge.exit_code:
            typer.echo(f"topicbase: {bridge.fault}", err=True)
            raise typer.Exit(bridge.exit_code)
    except OSError as error:
        typer.echo(f"topicbase: {error}", err=True)
        raise typer.Exit(1) from None


@app.command()
def keygen(
    path: Annotated[Path, typer.Argument(help="File to write; must not be there yet.", envvar="TOPICBASE_PRIVATE_KEY_FILE")],
    rotate: Annotated[bool, typer.Option("--rotate", help="The file is there: put a new key before those in it.")] = False,
) -> None:
    """Make the key pair that broker passwords are sealed to.

    The private key goes to the file, mode 600, and nowhere else. The public key is printed, with the statement that tells the database.
    """
    try:
        public = sealing.rotate_key_file(path) if rotate else sealing.make_key_file(path)
    except FileExistsError:
        typer.echo(f"topicbase: {path} is there already; it may be the only way to open what was sealed to it", err=True)
        raise typer.Exit(1) from None
    except sealing.KeyFileError as error:
        typer.echo(f"topicbase: {path} {error}", err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        typer.echo(f"topicbase: {path} cannot be written: {error.strerror}", err=True)
        raise typer.Exit(1) from None
    typer.echo(public)
    typer.echo(f"UPDATE mqtt.configuration SET sealing_public_key = decode('{public}', 'base64');  -- as a superuser", err=True)  # noqa: S608


def _reseal_one(connection: psycopg.Connection[Any], keys: sealing.Keys, kind: str, owner: UUID, sealed: str) -> str | None:
    """Why the secret could not be sealed anew; "" where it was, None where there was nothing to do."""
    try:
        box = sealing.resealed(keys, sealed)
        if box is None:
            return None
        row = connection.execute("SELECT bridge.replace_sealed_secret(%s, %s, %s, %s)", (kind, owner, sealed, box)).fetchone()
    except ValueError as error:
        return str(error)
    except psycopg.DatabaseError as error:
        if not (error.sqlstate or "").startswith("PT"):
            raise
        return f"{error.diag.message_primary}: {error.diag.message_detail}"
    return "" if row == (True,) else "it was changed meanwhile; run this again"


@app.command()
def reseal(
    path: Annotated[Path, typer.Argument(help="The key file, with the new key before the old ones.", envvar="TOPICBASE_PRIVATE_KEY_FILE")],
) -> None:
    """Seal what is sealed to an older key of the file to its first one.

    The database is found by libpq's variables, as for run. It can be ended and begun again at any time; it is done, with exit code 0, when
    nothing is sealed to another key any more.
    """
    try:
        keys = sealing.read_key_file(path)
    except sealing.KeyFileError as error:
        typer.echo(f"topicbase: {path} {error}", err=True)
        raise typer.Exit(2) from None
    done = left = 0
    try:
        with psycopg.connect("", autocommit=True) as connection:
            for kind, owner, sealed in connection.execute("SELECT * FROM bridge.sealed_secrets()").fetchall():
                fault = _reseal_one(connection, keys, kind, owner, sealed)
                done += fault == ""
                left += bool(fault)
                if fault:
                    typer.echo(f"topicbase: {kind} of {owner}: {fault}", err=True)
    except psycopg.Error as error:
        typer.echo(f"topicbase: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{done} sealed anew, {left} left")
    if left:
        raise typer.Exit(1)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
