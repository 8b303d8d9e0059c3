"""The bridge itself."""

import faulthandler
import inspect
import signal
import textwrap

from bridge import log
from bridge.cli import common
from bridge.settings import TABLE


def run() -> None:
    """Run the bridge until SIGTERM or SIGINT.

    The database is found by libpq's own variables (PGHOST, PGPORT, PGDATABASE, PGUSER=mqtt_bridge, PGPASSFILE, PGSERVICE, ...).
    It must be a direct connection: a pooler breaks LISTEN and session locks, so the bridge refuses to work through one (exit code 2).

    {settings}

    All of them may be in a file instead (--config, TOPICBASE_CONFIG). On SIGHUP the bridge reads that file, and the files that it names,
    again; settings that cannot change in a running bridge (the metrics address, PG*) are named in the log. Under systemd (Type=notify) it
    reports when it is ready, and that it is alive.

    \b
    Examples:
      PGHOST=db.example.com PGUSER=mqtt_bridge PGPASSFILE=/etc/topicbase/pgpass topicbase run
      topicbase --config /etc/topicbase/bridge.env run
    """
    from bridge.coordinator import Coordinator  # noqa: PLC0415  # the other commands need no sockets

    chosen = common.settings()
    log.set_up(chosen.log_level, chosen.log_format)
    faulthandler.enable()
    try:
        bridge = Coordinator(chosen, common.source())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: bridge.request_stop())
        signal.signal(signal.SIGHUP, lambda *_: bridge.request_reload())
        bridge.run()
        if bridge.exit_code:
            common.fail(str(bridge.fault), bridge.exit_code)
    except OSError as error:
        common.fail(str(error))


def run_help() -> str:
    """The docstring of `run`, with the table of settings."""
    rows = []
    for setting in TABLE:
        if setting.is_for_bridge:
            text = setting.help.replace("`", "") + ("" if setting.default == "none" else f" Default: {setting.default.strip('`')}.")
            rows += [setting.name, *textwrap.wrap(text, 76, initial_indent="    ", subsequent_indent="    ")]
    return inspect.cleandoc(run.__doc__ or "").replace("{settings}", "\n".join(["\b", *rows]))
