"""A real PgBouncer in front of a stack's PostgreSQL."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import Port
from tests.support.stack import Stack
from tests.support.waiting import wait_until


@contextmanager
def pgbouncer(stack: Stack, directory: Path, *, mode: str = "transaction", **settings: str) -> Iterator[int]:
    """Its port; it knows the logins of PostgREST and of the bridge, and ends with the block."""
    secrets = dict(line.split("=", 1) for line in (stack.run_dir / "secrets").read_text().splitlines())
    with stack.connect() as db:
        server, name = db.info.port, db.info.dbname
    held = Port()
    port = held.number
    users = directory / "users"
    users.write_text(f'"authenticator" "{secrets["AUTHENTICATOR_PASSWORD"]}"\n"mqtt_bridge" "{secrets["MQTT_BRIDGE_PASSWORD"]}"\n')
    options = {"listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": "", "pool_mode": mode, "default_pool_size": 2}
    options |= {"auth_type": "scram-sha-256", "auth_file": users, **settings}
    configuration = directory / "pgbouncer.ini"
    lines = "".join(f"{key} = {value}\n" for key, value in options.items())
    configuration.write_text(f"[databases]\n{name} = host=127.0.0.1 port={server}\n[pgbouncer]\n{lines}")
    command = ["pgbouncer", str(configuration)]
    if os.geteuid() == 0:
        # It refuses to run as root.
        command[1:1] = ["--user=postgres"]
        for path in (directory, users, configuration):
            path.chmod(0o755 if path.is_dir() else 0o644)
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    with (directory / "log").open("wb") as log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process:

        def is_up() -> bool:
            assert process.poll() is None, (directory / "log").read_text()
            return held.is_served()

        try:
            wait_until(is_up, what="PgBouncer")
            yield port
        finally:
            process.terminate()
            held.close()
