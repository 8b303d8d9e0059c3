"""The TLS example in conf/nginx.conf works as it stands."""

import subprocess
from pathlib import Path

import requests

from tests.support.api import Api
from tests.support.ports import Port
from tests.support.stack import Stack
from tests.support.tenant import make_tenant
from tests.support.waiting import PATIENCE, wait_until


def test_the_gateway_with_tls(stack: Stack, api: Api, tmp_path: Path) -> None:
    device = make_tenant(stack, api).device()
    placed = stack.run_dir / "place"
    old = (Path(placed.read_text().strip()) if placed.exists() else stack.run_dir) / "gateway"
    new = tmp_path / "gateway"
    new.mkdir()
    certificate, key = new / "fullchain.pem", new / "privkey.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    port = Port().number
    for path in old.glob("*.conf"):
        lines = path.read_text().replace("#tls ", "").replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl").splitlines()
        lines = [line for line in lines if not line.strip().startswith("listen") or "ssl" in line]
        text = "\n".join(lines).replace("/etc/ssl/topicbase", str(new)).replace(str(old), str(new))
        (new / path.name).write_text(f"{text}\n")
    url = f"https://127.0.0.1:{port}"
    with (tmp_path / "log").open("w") as log, requests.Session() as session:
        process = subprocess.Popen(["nginx", "-e", "stderr", "-p", str(new), "-c", str(new / "nginx.conf")], stderr=log)
        try:

            def answers() -> bool:
                assert process.poll() is None, (tmp_path / "log").read_text()
                try:
                    return session.get(f"{url}/healthz", verify=str(certificate), timeout=PATIENCE).ok
                except requests.ConnectionError:
                    return False

            wait_until(answers, what="the gateway")
            message = {"topic": device.topic(), "payload": 1}
            response = session.post(
                f"{url}/functions/v1/mqtt-ingest", json=message, headers=device.headers, verify=str(certificate), timeout=70
            )
            assert response.status_code == 202, response.text
            assert response.headers["Strict-Transport-Security"] == "max-age=31536000"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            response = session.get(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE)
            assert (response.status_code, response.json()["message"]) == (400, "bad_request")
        finally:
            process.terminate()
            process.wait(PATIENCE)
