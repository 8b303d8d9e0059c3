-- Deploy topicbase:base/py_free_disk to pg
-- requires: base/plpython
-- Rendered by bin/embed-plpython from plpython/free_disk.py: change it there.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT mqtt.plpython_obstacle() IS NULL AS possible \gset
\if :possible
CREATE OR REPLACE FUNCTION mqtt.py_free_disk() RETURNS bigint
LANGUAGE plpython3u VOLATILE STRICT SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $python$
if "run" in SD:
    return SD["run"]()

"""Room left on the disk of the database: the one fact of the machine that ingest must know before the disk is full."""

# /// plpython
# returns = "bigint"
# volatility = "volatile"
# ///

import os


def run() -> int:
    """Free bytes on the file system of the data directory, as an ordinary process may use them (statvfs, POSIX)

    A backend's working directory is the data directory; tablespaces and a WAL directory elsewhere are not seen.
    """
    status = os.statvfs(".")
    return status.f_bavail * status.f_frsize

SD["run"] = run
return run()
$python$;
COMMENT ON FUNCTION mqtt.py_free_disk() IS
$md$Free bytes on the file system of the data directory, as an ordinary process may use them (statvfs, POSIX)

A backend's working directory is the data directory; tablespaces and a WAL directory elsewhere are not seen.$md$;
ALTER FUNCTION mqtt.py_free_disk() OWNER TO mqtt_owner;
REVOKE ALL ON FUNCTION mqtt.py_free_disk() FROM public;
\else
DO $$
BEGIN
    RAISE NOTICE 'mqtt.py_free_disk() is not created, since %', mqtt.plpython_obstacle() USING
        HINT = 'Once it can be, run as superuser: psql -f deploy/base/py_free_disk.sql';
END;
$$;
\endif
COMMIT;
