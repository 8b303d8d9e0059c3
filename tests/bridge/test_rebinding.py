"""DNS rebinding, with a real resolver: the C library asks a name server of the test's own, in namespaces where that may be at port 53."""

import json
import os
import subprocess
import sys
from pathlib import Path

from bridge.mqtt.sockets import UNLESS
from tests.bridge.test_transports import Authority
from tests.support.stack import ROOT
from tests.support.waiting import PROGRAM_PATIENCE

SILENT = "the connection failed: rebind.test does not accept one at port 9"
REFUSED = f"rebind.test does not lead to a public address; {UNLESS}"


def test_a_name_is_resolved_once_and_leads_where_it_was_checked(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    authority.issue("receiver", "DNS:rebind.test")
    for name, text in (("resolv.conf", "nameserver 127.0.0.53\n"), ("nsswitch.conf", "hosts: dns\n")):
        (tmp_path / name).write_text(text)
    script = 'mount --bind "$1/resolv.conf" /etc/resolv.conf && mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf && '
    script += 'exec "$2" -m tests.bridge.rebinding "$1"'
    command = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net", "--mount", "--propagation=private", "sh", "-c"]
    ended = subprocess.run(
        [*command, script, "sh", str(tmp_path), sys.executable],
        cwd=ROOT,
        env={**os.environ, "SSL_CERT_FILE": str(tmp_path / "ca.pem"), "SSL_CERT_DIR": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
        timeout=PROGRAM_PATIENCE,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {
        "public, then private": {"outcome": "200", "asked": 1, "outside": 1, "inside": 0},
        "private, then public": {"outcome": REFUSED, "asked": 1, "outside": 1, "inside": 0},
        "both at once": {"outcome": REFUSED, "asked": 1, "outside": 1, "inside": 0},
        "no such name": {"outcome": REFUSED, "asked": 1, "outside": 1, "inside": 0},
        # A closed port and one that drops what comes; what is inside is not even asked.
        "closed": SILENT,
        "filtered": SILENT,
    }
