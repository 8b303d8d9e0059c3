"""The live stream's process."""

from pathlib import Path

from bridge import log
from bridge.cli import common


def stream() -> None:
    """Run the live stream: messages as they are settled, to browsers and apps.

    It finds the database as the bridge does (PGHOST, PGUSER=topicbase_stream, PGPASSFILE, ...), directly, not through a pooler. It
    listens on TOPICBASE_STREAM_ADDRESS, at /stream, behind the gateway or your own proxy, and checks tokens with PostgREST's secret or keys
    (TOPICBASE_JWT_SECRET_FILE: `jwt-secret`, a secret or a JWKS; read again when the file changes) and audience
    (TOPICBASE_JWT_AUDIENCE). Any number of them may run.

    \b
    Examples:
      PGHOST=db.example.com PGUSER=topicbase_stream TOPICBASE_JWT_SECRET_FILE=/etc/topicbase/jwt-secret topicbase stream
    """
    try:
        from bridge.stream import server  # noqa: PLC0415  # the other commands need no web server
    except ModuleNotFoundError as error:
        common.fail(f"the live stream needs {error.name}: install Topicbase with its extra, as in pip install '.[stream]'", common.WRONG)
    chosen = common.settings()
    values = common.source().values()
    path = values.get("TOPICBASE_JWT_SECRET_FILE")
    if not path:
        common.fail("TOPICBASE_JWT_SECRET_FILE must name a file that holds PostgREST's `jwt-secret`", common.WRONG)
    log.set_up(chosen.log_level, chosen.log_format)
    common.source().export()
    try:
        server.run(chosen.stream_address, Path(path), values.get("TOPICBASE_JWT_AUDIENCE") or "topicbase", chosen.stream_heartbeat)
    except (OSError, ValueError) as error:
        common.fail(f"TOPICBASE_JWT_SECRET_FILE={path}: {error}", common.WRONG)
