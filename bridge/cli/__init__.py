"""The command line: what an operator and an app developer type."""

from pathlib import Path
from typing import Annotated

import typer

from bridge import __version__
from bridge.cli import (
    api_keys,
    common,
    credentials,
    deletions,
    doctor,
    export,
    importing,
    init,
    integrations,
    jwks,
    keys,
    move,
    operators,
    organizations,
    publish,
    replay,
    rules,
    run,
    status,
    stream,
    tail,
)
from bridge.settings import SettingsError, Source

app = typer.Typer(
    name="topicbase",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help keeps the examples as they are
)


def _version(wanted: bool) -> None:  # typer's signature
    if wanted:
        typer.echo(f"topicbase {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            envvar="TOPICBASE_CONFIG",
            help="File of settings, KEY=VALUE lines; named here, it takes precedence over the environment.",
        ),
    ] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Topicbase: MQTT integration that lives in PostgreSQL.

    \b
    On the bridge's machine, with its settings (PGHOST, PGUSER=mqtt_bridge, TOPICBASE_..., from the environment or --config):
      init     sets up a database, up to the first message (as a superuser)
      run      the bridge itself
      stream   the live stream to browsers and apps (with PGUSER=topicbase_stream)
      status   which bridges are running, what each holds, how long the queues are
      doctor   what is wrong with this installation, and how to fix it
      keygen   a key pair to seal broker passwords with
      reseal   seals all secrets to a new key
      move-organization   moves an organization to another installation (as a superuser of both)
      operators  add, list, remove: who may run the installation from the console (as a superuser)
      jwks     fetches the keys of an OpenID Connect provider, for PostgREST

    \b
    Anywhere, as a user of an organization (TOPICBASE_API_URL and TOPICBASE_TOKEN or TOPICBASE_TOKEN_FILE, never an argument):
      publish  sends messages to an integration's broker, and reports what became of them
      tail     shows messages as they are stored
      replay   replays dead letters or stored messages
      delete   deletes messages, and shows how far deletions are
      export   writes messages or readings to a file
      import   imports messages that were measured before
      rules    shows what payload rules make of a message

    \b
    Anywhere, likewise, each with add, list, show, remove where the API has it (org add: as an operator, or as service_role):
      org, members, integration, devices, credentials, token, keys

    \b
    Exit codes: 0 success; 1 the answer is no (a fault was found, a message failed); 2 wrong arguments or settings; 3 the database or the
    API cannot be reached or refuses the login; 70 internal failure: the supervisor should restart the bridge.
    """
    try:
        told_by = context.get_parameter_source("config")
        common.use(Source(config, overrides=told_by is not None and told_by.name == "COMMANDLINE"))
    except SettingsError as error:
        common.fail(str(error), common.WRONG)


app.command(help=run.run_help())(run.run)
app.command()(init.init)
app.command()(stream.stream)
app.command()(status.status)
app.command()(doctor.doctor)
app.command()(keys.keygen)
app.command()(keys.reseal)
app.command("move-organization")(move.move_organization)
app.add_typer(operators.app, name="operators")
app.command()(jwks.jwks)
app.command()(publish.publish)
app.command()(tail.tail)
app.add_typer(replay.app, name="replay")
app.add_typer(deletions.app, name="delete")
app.add_typer(export.app, name="export")
app.command("import")(importing.import_history)
app.add_typer(rules.app, name="rules")
app.add_typer(organizations.app, name="org")
app.add_typer(organizations.members, name="members")
app.add_typer(integrations.app, name="integration")
app.add_typer(integrations.devices, name="devices")
app.add_typer(credentials.app, name="credentials")
app.add_typer(credentials.token, name="token")
app.add_typer(api_keys.app, name="keys")
