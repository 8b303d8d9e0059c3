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
