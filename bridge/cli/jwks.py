"""The keys of an OpenID Connect provider, for PostgREST and the live stream."""

import time
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from bridge import jwks as provider
from bridge import log
from bridge.cli import common
from bridge.settings import SettingsError, secret_of_file


def jwks(
    issuer: Annotated[str, typer.Argument(help="The provider's issuer, as it stands in its tokens: https://id.example.com.")],
    file: Annotated[Path, typer.Argument(help='File to write, which PostgREST reads: jwt-secret = "@FILE".')],
    secret_file: Annotated[
        Path | None, typer.Option("--secret-file", help="File with a secret: tokens that are signed with it stay valid, too.")
    ] = None,
    every: Annotated[int | None, typer.Option("--every", min=5, max=86400, help="Fetch them again every so many seconds.")] = None,
) -> None:
    """Fetch the keys that an OpenID Connect provider signs tokens with, and have PostgREST check tokens by them.

    Writes FILE (a JWKS, mode 600: run it as PostgREST's user). If the keys have changed, PostgREST is made to read it again: NOTIFY pgrst,
    over the connection that libpq's variables describe, as any role. `topicbase stream` reads the same file by itself
    (TOPICBASE_JWT_SECRET_FILE). While the provider cannot be reached, or its keys cannot be used, the file stays as it is.

    \b
    Examples:
      topicbase --config /etc/topicbase/bridge.env jwks https://id.example.com /var/lib/topicbase/jwks.json --every 60
      topicbase jwks https://id.example.com jwks.json --secret-file /etc/topicbase/jwt-secret
    """
    chosen = common.settings()
    log.set_up(chosen.log_level, chosen.log_format)
    try:
        also = [provider.symmetric(secret_of_file("--secret-file", str(secret_file)))] if secret_file else []
    except SettingsError as error:
        common.fail(str(error), common.WRONG)
    is_told = False  # the last run may have ended between the two steps
    while True:
        try:
            if provider.write(file, provider.fetch(issuer) + also):
                is_told = False
                log.info("keys_changed", issuer=issuer)
            if not is_told:
                _tell()
                is_told = True
        except (provider.KeysError, OSError, psycopg.OperationalError) as error:
            if every is None:
                common.fail(common.whole(error), common.UNREACHABLE)
            log.warning("keys_not_fetched", issuer=issuer, reason=common.whole(error))
        if every is None:
            return
        time.sleep(every)


def _tell() -> None:
    with common.connect("jwks") as connection:
        connection.execute("NOTIFY pgrst, 'reload config'")
