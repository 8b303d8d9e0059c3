"""The live stream's process."""

from bridge import log
from bridge.cli import common
from bridge.settings import SettingsError, secret_of_file


def stream() -> None:
    """Run the live stream: messages as they are settled, to browsers and apps.

    It finds the database as the bridge does (PGHOST, PGUSER=topicbase_stream, PGPASSFILE, ...), directly, not through a pooler. It
    listens on TOPICBASE_STREAM_ADDRESS, at /stream, behind the gateway or your own proxy, and checks tokens with PostgREST's secret or keys
    (TOPICBASE_JWT_SECRET_FILE: `jwt-secret`, a secret or a JWKS) and audience (TOPICBASE_JWT_AUDIENCE). Any number of them may run.

    \b
    Examples:
      PGHOST=db.example.com PGUSER=topicbase_stream TOPICBASE_JWT_SECRET_FILE=/etc/topicbase/jwt-secret topicbase stream
    """
    from bridge.stream import server  # noqa: PLC0415  # the other commands need no web server

    chosen = common.settings()
    values = common.source().values()
    path = values.get("TOPICBASE_JWT_SECRET_FILE")
    if not path:
        common.fail("TOPICBASE_JWT_SECRET_FILE must name a file that holds PostgREST's `jwt-secret`", common.WRONG)
    log.set_up(chosen.log_level, chosen.log_format)
    common.source().export()
    try:
        secret = secret_of_file("TOPICBASE_JWT_SECRET_FILE", path)
        server.run(chosen.stream_address, secret, values.get("TOPICBASE_JWT_AUDIENCE") or "topicbase")
    except (SettingsError, ValueError) as error:
        common.fail(str(error), common.WRONG)
