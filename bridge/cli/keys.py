"""The keys that secrets are sealed to."""

from pathlib import Path
from typing import Annotated

import psycopg
import typer

from bridge import sealing
from bridge.cli import common
from bridge.reseal import KeyMismatchError, reseal_all


def keygen(
    path: Annotated[
        Path | None,
        typer.Argument(
            help="File to write, which must not exist yet.  [default: what TOPICBASE_PRIVATE_KEY_FILE names]", show_default=False
        ),
    ] = None,
    rotate: Annotated[bool, typer.Option("--rotate", help="The file exists: put a new key before those in it.")] = False,
) -> None:
    """Create the key pair that secrets (broker passwords, client keys, webhook secrets) are sealed to.

    The private key goes to the file, mode 600, and nowhere else. The public key is printed, with the statement that stores it in the
    database.
    Keep a copy of the file with your other keys: what is sealed to it cannot be opened without it.

    \b
    Example, the first key:
      topicbase keygen /etc/topicbase/private.key      # run the UPDATE that it prints; name the file in TOPICBASE_PRIVATE_KEY_FILE
    To replace a key: topicbase reseal --help
    """
    if path is None:
        path = Path(common.values().get("TOPICBASE_PRIVATE_KEY_FILE") or common.fail("name a file to write the key to", common.WRONG))
    try:
        public = sealing.rotate_key_file(path) if rotate else sealing.make_key_file(path)
    except FileExistsError:
        common.fail(f"{path} already exists; it may be the only way to open what was sealed to it. --rotate puts a new key before it")
    except sealing.KeyFileError as error:
        common.fail(f"{path} {error}")
    except OSError as error:
        common.fail(f"{path} cannot be written: {error.strerror}")
    # The statement first, so that it takes effect even where both are piped to psql.
    typer.echo(f"{sealing.statement(public)};  -- as a superuser", err=True)
    typer.echo(public)


def reseal(
    batch: Annotated[int, typer.Option(min=1, max=10000, help="Secrets per transaction.")] = 200,
    json: Annotated[bool, typer.Option("--json", help="The result as JSON.")] = False,
) -> None:
    """Seal all stored secrets to the current key, so that an old one can be removed.

    Secrets are opened and sealed again in this process; nothing leaves it in the clear. It works in batches, and can be killed and started
    again at any time. Bridges keep running, without reconnecting. Exit code 1 if some could not be opened: they are named, not shown.

    \b
    A new key, step by step:
      1. topicbase keygen --rotate /etc/topicbase/private.key    # the file then holds both, the new one first
      2. Each bridge gets that file, and reloads it: systemctl reload topicbase
      3. Run the UPDATE of mqtt.configuration that keygen printed: from now on, new secrets are sealed to the new key
      4. topicbase reseal, with the bridge's settings
      5. Once it says that no other key is in use, remove the old key's line from the file. Old backups still need that key.
    Instead of --rotate, TOPICBASE_PRIVATE_KEY_FILE may name a new file, and TOPICBASE_OLD_PRIVATE_KEY_FILES the old one.
    """
    keys = common.settings().private_keys
    if keys is None:
        common.fail("TOPICBASE_PRIVATE_KEY_FILE does not name a key", common.WRONG)
    with common.database("reseal") as database:
        state = common.ask(database, database.sealing_state)
        total = sum(count for name, count in state["sealed"].items() if name != state["key"])
        try:
            with common.progress("sealing", total) as done:
                result = reseal_all(database, keys, batch, done)
        except KeyMismatchError as error:
            common.fail(str(error), common.WRONG)
        except psycopg.errors.RaiseException as error:
            common.fail(f"{error.diag.message_detail} {error.diag.message_hint}")
        except psycopg.OperationalError as error:
            common.fail(
                f"the database connection was lost ({str(error).strip().splitlines()[0]}); start again to continue", common.UNREACHABLE
            )
        left = {name or "unknown": count for name, count in common.ask(database, database.sealing_state)["sealed"].items()}
    left.pop(keys.current, None)
    if json:
        common.as_json({"key": keys.current, "resealed": result.count, "unopened": result.unopened, "left": left})
    else:
        typer.echo(f"{result.count} sealed to key {keys.current}")
        for fault in result.unopened:
            typer.echo(f"{fault['place']} of {fault['id']} (organization {fault['organization_id']}): {fault['reason']}", err=True)
        if not left:
            typer.echo("no other key is in use")
    if left:
        if not json:
            typer.echo(f"still sealed to other keys: {', '.join(f'{count} to {name}' for name, count in left.items())}", err=True)
        raise typer.Exit(common.NO)
