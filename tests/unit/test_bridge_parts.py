"""The bridge's parts that need neither broker nor database."""

import ast
import base64
import ipaddress
import json
import logging
import re
import socket
import time
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import nacl.public
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.properties import VariableByteIntegers
from prometheus_client import REGISTRY

from bridge import api, log, metrics, mosquitto, sealing, settings
from bridge.mqtt import sockets
from bridge.mqtt.client import Client
from bridge.mqtt.properties import Received, publish_properties, read_properties
from bridge.mqtt.sockets import SPECIAL_NETWORKS, BufferedSocket, is_private
from bridge.mqtt.target import Target, TargetError, default_client_id, of_integration
from bridge.work.claims import Claims
from bridge.work.queue_worker import BATCH, FEW, FIRST_BATCH, next_size, pause_after
from tests.support.broker import user_property

ROOT = Path(__file__).parents[2]
ID = UUID("0190c5f2-0000-7000-8000-00000000abcd")


class TestSettings:
    def test_nothing_is_needed(self) -> None:
        found = settings.read({})
        assert found.hosted_broker_url is None
        assert found.metrics_address is None

    @pytest.mark.parametrize(
        ("name", "value", "fault"),
        [
            ("TOPICBASE_HOSTED_BROKER_URL", "broker:1883", "is not one of mqtt, mqtts, ws, wss"),
            ("TOPICBASE_HOSTED_BROKER_URL", "http://broker", "is not one of mqtt, mqtts, ws, wss"),
            ("TOPICBASE_HOSTED_BROKER_URL", "mqtt://u:p@broker", "holds a user name"),
            ("TOPICBASE_HOSTED_BROKER_URL", "mqtt://broker:99999", "ort"),
            ("TOPICBASE_HOSTED_BROKER_PASSWORD_FILE", "/nowhere/file", "cannot be read"),
            ("TOPICBASE_METRICS_ADDRESS", "9090", "is not host:port"),
            ("TOPICBASE_METRICS_ADDRESS", "localhost:0", "is not host:port"),
            ("TOPICBASE_ALLOW_PRIVATE_ADDRESSES", "maybe", "is neither 1 nor 0"),
            ("TOPICBASE_LOG_LEVEL", "LOUD", "is none of"),
            ("TOPICBASE_MOSQUITTO_ACCESS_FILE", "/nowhere/access", "cannot be written to"),
        ],
    )
    def test_a_fault_is_named(self, name: str, value: str, fault: str) -> None:
        with pytest.raises(settings.SettingsError, match=fault) as raised:
            settings.read({name: value})
        assert "TOPICBASE_" in str(raised.value)

    def test_secrets_are_not_shown(self, tmp_path: Path) -> None:
        file = tmp_path / "password"
        file.write_text("s3cret\n")
        found = settings.read({"TOPICBASE_HOSTED_BROKER_PASSWORD_FILE": str(file)})
        assert found.hosted_password == "s3cret"
        assert "s3cret" not in repr(found)


class TestSealing:
    def test_a_key_file_opens_what_was_sealed(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        public = base64.b64decode(sealing.make_key_file(path))
        assert path.stat().st_mode & 0o777 == 0o600
        box = nacl.public.SealedBox(nacl.public.PublicKey(public)).encrypt("pässword".encode())
        value = {"sealed": base64.b64encode(box).decode()}
        assert sealing.unseal(sealing.Keyring(*sealing.read_key_file(path)), value) == "pässword"
        with pytest.raises(ValueError, match="no private key"):
            sealing.unseal(None, value)
        with pytest.raises(ValueError, match="cannot be opened"):
            sealing.unseal(sealing.Keyring(nacl.public.PrivateKey.generate()), value)

    def test_a_rotated_key_file_opens_old_and_new_secrets(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        first = base64.b64decode(sealing.make_key_file(path))
        second = base64.b64decode(sealing.rotate_key_file(path))
        assert path.stat().st_mode & 0o777 == 0o600
        assert list(tmp_path.iterdir()) == [path]
        keys = settings.read({"TOPICBASE_PRIVATE_KEY_FILE": str(path)}).private_keys
        assert keys is not None
        assert keys.ids == [sealing.key_id(second), sealing.key_id(first)]
        for public in (first, second):
            box = nacl.public.SealedBox(nacl.public.PublicKey(public)).encrypt(b"s3cret")
            assert sealing.unseal(keys, {"sealed": base64.b64encode(box).decode()}) == "s3cret"

    def test_an_existing_file_is_not_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("precious")
        with pytest.raises(FileExistsError):
            sealing.make_key_file(tmp_path / "key")

    @pytest.mark.parametrize("text", ["", "x", f"{sealing.HEAD}\nAAAA\n", f"{sealing.HEAD}\n!\n", "\xff"])
    def test_a_file_that_is_no_key(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "key"
        path.write_text(text, encoding="latin-1")
        path.chmod(0o600)
        with pytest.raises(sealing.KeyFileError):
            sealing.read_key_file(path)

    def test_a_file_that_others_can_read(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        sealing.make_key_file(path)
        path.chmod(0o644)
        with pytest.raises(sealing.KeyFileError, match="600"):
            sealing.read_key_file(path)


def target(**options: Any) -> Any:
    return of_integration(ID, options.pop("kind", "mqtt_external"), options, settings.Settings())


class TestTarget:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"broker_url": "b.example"}, ("b.example", 1883, False, False)),
            ({"broker_url": "b.example", "use_tls": True}, ("b.example", 8883, True, False)),
            ({"broker_url": "b.example", "protocol": "wss"}, ("b.example", 443, True, True)),
            ({"broker_url": "mqtts://b.example"}, ("b.example", 8883, True, False)),
            ({"broker_url": "ws://b.example:8080/path"}, ("b.example", 8080, False, True)),
            ({"broker_url": "b.example", "port": 1234}, ("b.example", 1234, False, False)),
            ({"broker_url": "::1"}, ("::1", 1883, False, False)),
        ],
    )
    def test_addresses(self, options: dict[str, Any], expected: tuple[Any, ...]) -> None:
        found = target(**options)
        assert (found.host, found.port, found.tls, found.websockets) == expected

    @pytest.mark.parametrize(
        "options", [{}, {"broker_url": "ftp://x"}, {"broker_url": "x", "port": "y"}, {"broker_url": "x", "protocol": "z"}]
    )
    def test_no_address(self, options: dict[str, Any]) -> None:
        with pytest.raises(TargetError):
            target(**options)

    def test_a_sealed_password_without_key(self) -> None:
        with pytest.raises(TargetError, match=r"settings\.password: it is sealed"):
            target(broker_url="x", password={"sealed": "AAAA"})

    def test_no_hosted_broker(self) -> None:
        with pytest.raises(TargetError, match="TOPICBASE_HOSTED_BROKER_URL"):
            target(kind="mqtt_hosted")

    def test_client_id(self) -> None:
        assert len(default_client_id(ID)) == 23
        assert default_client_id(ID).isalnum()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True), ("10.1.2.3", True), ("172.16.0.1", True), ("192.168.1.1", True), ("169.254.169.254", True),
        ("100.64.0.1", True), ("0.0.0.0", True), ("224.0.0.1", True), ("255.255.255.255", True), ("198.18.0.1", True),  # noqa: S104
        ("::1", True), ("::", True), ("fe80::1%eth0", True), ("fc00::1", True), ("::ffff:8.8.8.8", True), ("::ffff:127.0.0.1", True),
        ("64:ff9b::7f00:1", True), ("2002:7f00:1::", True), ("2001::1", True), ("ff02::1", True), ("fec0::1", True),
        ("192.0.2.1", True), ("192.88.99.1", True), ("198.51.100.1", True), ("203.0.113.1", True), ("192.31.196.1", True),
        ("64:ff9b:1::1", True), ("100::1", True), ("2001:db8::1", True), ("3fff::1", True), ("5f00::1", True), ("2620:4f:8000::1", True),
        ("8.8.8.8", False), ("1.1.1.1", False), ("2620:4f:8001::1", False), ("2001:200::1", False),
        ("2606:4700:4700::1111", False), ("172.32.0.1", False),
    ],
)  # fmt: skip
def test_private_addresses(address: str, expected: bool) -> None:
    assert is_private(address) is expected


def test_a_batch_is_as_large_as_a_second_allows() -> None:
    """Whoever is quiet waits for the batch before theirs: what is much work comes in small ones, what is cheap in large ones soon."""
    sizes = [FIRST_BATCH]
    while sizes[-1] < BATCH:
        sizes.append(next_size(sizes[-1], 0.01, is_full=True))
    assert sizes == [250, 500, 1000]
    assert next_size(BATCH, 0.7, is_full=True) == BATCH
    assert next_size(BATCH, 0.01, is_full=False) == FIRST_BATCH
    assert next_size(FIRST_BATCH, 50, is_full=True) == 5
    assert next_size(5, 50, is_full=True) == 1
    assert next_size(1, 0.01, is_full=False) > FEW


def test_the_database_refuses_the_same_addresses() -> None:
    text = (ROOT / "deploy" / "base" / "outward_addresses.sql").read_text(encoding="utf-8")
    assert [ipaddress.ip_network(net) for net in re.findall(r"'([0-9a-f.:]+/\d+)'", text)] == list(SPECIAL_NETWORKS)


# IANA's registries of special-purpose addresses (RFC 6890) as of August 2026, without what lies within another; and multicast.
REGISTERED = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24"),
    *("192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24"),
    *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "::1/128", "::/128", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64"),
    *("100:0:0:1::/64", "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10"),
    "ff00::/8",
]


@pytest.mark.parametrize("block", REGISTERED)
def test_what_is_registered_for_a_special_purpose_is_refused(block: str) -> None:
    """From its first address to its last; what lies beside it is not, unless it is registered, too, or no unicast address is there."""
    net = ipaddress.ip_network(block)
    assert all(is_private(str(address)) for address in (net[0], net[-1], net[net.num_addresses // 2]))
    others = [ipaddress.ip_network(other) for other in REGISTERED]
    for number in (int(net[0]) - 1, int(net[-1]) + 1):
        if 0 <= number < 1 << net.max_prefixlen:
            beside = type(net[0])(number)
            is_special = any(beside.version == other.version and beside in other for other in others)
            is_unicast = beside.version == 4 or beside in ipaddress.ip_network("2000::/3")
            assert is_private(str(beside)) == (is_special or not is_unicast), beside


@given(st.ip_addresses(network=ipaddress.ip_network("10.0.0.0/8")))
def test_no_private_address_passes(address: ipaddress.IPv4Address) -> None:
    assert is_private(str(address))


class TestMosquittoAccessFile:
    def access(self, directory: Path, password: str = "secret") -> mosquitto.AccessFile:  # noqa: S107
        return mosquitto.AccessFile(
            settings.Settings(hosted_username="bridge", hosted_password=password, mosquitto_access_file=directory / "access")
        )

    def test_written_once(self, tmp_path: Path) -> None:
        path, access = tmp_path / "access", self.access(tmp_path)
        assert access.write("head\t\ndevice\t\n") == (True, True)
        first = path.read_text()
        assert first.startswith("head\t\ndevice\t\nbridge\t\t0\t")
        assert first.endswith("\tp#\ts#\ts$SYS/#\t\nend\t\n")
        assert path.stat().st_mode & 0o777 == 0o600
        assert access.write("head\t\ndevice\t\n") == (False, False)
        assert path.read_text() == first
        assert access.write("head\t\n") == (True, False)
        assert path.read_text() == first.replace("device\t\n", "")
        assert [each.name for each in tmp_path.iterdir()] == ["access"]

    def test_a_new_password_of_the_bridge(self, tmp_path: Path) -> None:
        assert self.access(tmp_path).write("") == (True, True)
        assert self.access(tmp_path, "other").write("") == (True, True)
        assert "other" not in (tmp_path / "access").read_text()

    def test_mosquitto_s_group_may_read_it_if_it_could(self, tmp_path: Path) -> None:
        path = tmp_path / "access"
        path.touch()
        path.chmod(0o644)
        self.access(tmp_path).write("")
        assert path.stat().st_mode & 0o777 == 0o640


class TestBufferedSocket:
    def test_reads_in_pieces_what_came_as_one(self) -> None:
        near, far = socket.socketpair()
        with near, far:
            buffer = BufferedSocket(near)
            far.sendall(b"abcdef")
            assert buffer.recv(1) == b"a"
            assert buffer.has_read_ahead()
            assert buffer.recv(3) == b"bcd"
            assert buffer.recv(10) == b"ef"
            assert not buffer.has_read_ahead()
            near.setblocking(False)
            with pytest.raises(BlockingIOError):
                buffer.recv(1)
            far.close()
            assert buffer.recv(1) == b""

    def test_writes_at_flush(self) -> None:
        near, far = socket.socketpair()
        with near, far:
            buffer = BufferedSocket(near)
            buffer.send(b"1")
            buffer.buffered = True
            buffer.send(b"2")
            buffer.send(b"3")
            assert far.recv(10) == b"1"
            assert buffer.flush()
            assert far.recv(10) == b"23"

    def test_a_peer_that_reads_nothing(self) -> None:
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            buffer = BufferedSocket(near)
            buffer.buffered = True
            refused = False
            for _ in range(100):
                try:
                    buffer.send(b"x" * 65536)
                except BlockingIOError:
                    refused = True
                buffer.flush()
            assert refused
            assert buffer.pending_bytes() < 2 << 20


class TestPaho:
    def test_what_the_client_overrides_is_there(self) -> None:
        """These names are paho's own affair; a version without them needs another look."""
        overridden = [name for name in vars(Client) if name.startswith("_") and not name.startswith("__") and name in dir(paho.Client)]
        assert set(overridden) == {
            "_create_socket",
            "_handle_publish",
            "_handle_pubackcomp",
            "_handle_pubrec",
            "_handle_pubrel",
            "_packet_handle",
            "_packet_queue",
        }
        for name in (
            "_packet_read",
            "_loop_rc_handle",
            "_send_publish",
            "_send_pubrel",
            "_send_pubrec",
            "_send_pubcomp",
            "_mid_generate",
            "_send_simple_command",
        ):
            assert callable(getattr(paho.Client, name)), name

    def test_private_names_of_paho_are_these(self) -> None:
        """Another one ties the bridge more closely to the one minor release that pyproject.toml allows."""
        text = (ROOT / "bridge" / "mqtt" / "client.py").read_text(encoding="utf-8")
        names = {node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute) and node.attr.startswith("_")}
        made = paho.Client(CallbackAPIVersion.VERSION2)
        assert {name for name in names if hasattr(made, name) and not name.startswith("__")} == {
            "_in_packet", "_keepalive", "_last_bytes_received", "_last_msg_out", "_loop_rc_handle", "_mid_generate", "_out_packet",
            "_pack_remaining_length", "_packet_handle", "_packet_queue", "_packet_read", "_ping_t", "_protocol", "_send_pubcomp",
            "_send_pubrec", "_send_pubrel", "_send_simple_command", "_sock", "_state",
        }  # fmt: skip

    def test_properties_there_and_back(self) -> None:
        values = {"content_type": "a/b", "response_topic": "r", "correlation_data": "AAE=", "user_properties": {"a": "b"}}
        packed = publish_properties(values, 7)
        assert packed is not None
        found, size = read_properties(packed.pack() + b"payload")
        assert size == len(packed.pack())
        assert (found.content_type, found.subscriptions, found.fault) == ("a/b", (), None)
        assert json.loads(found.rest or "") == {
            "response_topic": "r", "correlation_data": "AAE=", "user_properties": [["a", "b"]], "message_expiry": 7,
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (b"\xef\xbb\xbfpump", "\ufeffpump"),  # U+FEFF is legal
            (b"a\0b", "a\ufffdb"),
            (b"a\\u0000", "a\\u0000"),  # what looks like it is not it
            (b"\xff", "\ufffd"),
            (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),  # half of a surrogate pair
            (b"", ""),
        ],
    )
    def test_text_of_any_kind(self, text: bytes, expected: str) -> None:
        one = len(text).to_bytes(2, "big") + text
        properties = b"\x26" + one + one + b"\x08" + one + b"\x03" + one
        found, _ = read_properties(bytes([len(properties)]) + properties)
        assert found.content_type == (expected or None)
        assert json.loads(found.rest or "") == {"response_topic": expected, "user_properties": [[expected, expected]]}

    @pytest.mark.parametrize(
        "data",
        [
            b"", b"\x80", b"\xff\xff\xff\xff\x01", b"\x01", b"\x7fx", b"\x81\x80\x80", b"\x80\x80\x80\x80\x00",
            b"\xff\xff\xff\x7f" + bytes(9),
        ],
    )  # fmt: skip
    def test_where_it_is_not_clear_where_they_end(self, data: bytes) -> None:
        with pytest.raises(MalformedPacket):
            read_properties(data)

    @pytest.mark.parametrize(
        ("properties", "words"),
        [
            (b"\x7f\x00", "0x7f is not a property of a message"),
            (b"\x11\x00\x00\x00\x01", "0x11 is not a property of a message"),  # of CONNECT
            (b"\x02\x00", "the last one is cut short"),
            (b"\x0b", "the last one is cut short"),
            (b"\x0b\xff", "the last one is cut short"),
            (b"\x26\x00\x01a\x00", "the last one is cut short"),
            (b"\x26\x00\x01a", "the last one is cut short"),
            (b"\x0b\xff\xff\xff\xff\x01", "a number of more than four bytes"),
            (b"\x03\x00\x05hell", "a string that is longer than all of them"),
            (b"\x01\x01\x01\x01", "payload_format twice"),
            (b"\x03\x00\x01a\x03\x00\x01a", "content_type twice"),
            (b"\x23\x00\x01\x23\x00\x01", "topic_alias twice"),
        ],
    )
    def test_those_that_cannot_be_read_are_the_message_s_fault(self, properties: bytes, words: str) -> None:
        """It would come again, on each connection that it ended. What follows is the payload, whatever it looks like."""
        for payload in (b"", b"payload", b"\x00" * 9):
            found, end = read_properties(bytes([len(properties)]) + properties + payload)
            assert found == Received(fault=f"The properties cannot be read: {words}.")
            assert end == 1 + len(properties)

    @pytest.mark.parametrize(("value", "expected"), [(0, None), (1, "utf-8"), (2, None), (255, None)])
    def test_the_payload_format_is_known_or_unknown(self, value: int, expected: str | None) -> None:
        """Brokers must pass on what the publisher has sent, and some take any number."""
        found, _ = read_properties(bytes([2, 1, value]))
        assert (json.loads(found.rest or "{}").get("payload_format"), found.fault) == (expected, None)

    def test_user_properties_keep_their_order_and_subscriptions_theirs(self) -> None:
        pairs = [("b", "1"), ("a", "2"), ("b", "1"), ("b", "3")]
        properties = b"\x0b\x07".join(user_property(*pair) for pair in pairs) + b"\x0b\xff\xff\xff\x7f"
        found, _ = read_properties(bytes([len(properties)]) + properties)
        assert json.loads(found.rest or "")["user_properties"] == [list(pair) for pair in pairs]
        assert found.subscriptions == (7, 7, 7, 268435455)

    def test_of_a_packet_that_is_cut(self) -> None:
        properties = user_property("a", "b" * 100)
        data = bytes([len(properties)]) + properties
        assert read_properties(data, 1000) == read_properties(data)
        found, end = read_properties(data[:50], 1000)
        assert (found.fault is not None, end) == (True, len(data))

    @given(st.binary(max_size=60))
    @example(b"\x26\x00\x00\x00")
    def test_any_bytes_are_read_or_a_fault(self, properties: bytes) -> None:
        found, end = read_properties(bytes([len(properties)]) + properties + b"payload")
        assert end == 1 + len(properties)
        assert found.fault is None or (found.content_type, found.rest, found.subscriptions) == (None, None, ())
        assert "\0" not in (found.content_type or "")
        assert "\\u0000" not in (found.rest or "").replace("\\\\", ""), "which jsonb does not take"

    def test_many_are_read_soon(self) -> None:
        pair = b"\x26\x00\x01a\x00\x01b"
        for count in (18000, 50000):
            properties = pair * count
            data = VariableByteIntegers.encode(len(properties)) + properties  # type: ignore[no-untyped-call]
            began = time.process_time()
            found, size = read_properties(data)
            assert time.process_time() - began < 1
            assert size == len(data)
            if count == 18000:
                assert len(json.loads(found.rest or "")["user_properties"]) == count
            else:
                assert (found.rest, found.fault) == (None, "The properties have 350000 bytes; the bridge takes at most 131072.")

    @pytest.mark.parametrize("values", [{"correlation_data": "?"}, {"content_type": "x" * 70000}, {"user_properties": "x"}])
    def test_properties_that_cannot_be_sent(self, values: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="cannot be sent"):
            publish_properties(values, None)

    def test_none(self) -> None:
        assert publish_properties(None, None) is None


def test_a_silent_address_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose first address answers nothing, such as one of IPv6 where that leads nowhere, was never reached."""
    with ExitStack() as ends:
        silent, server = (ends.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0)) for _ in range(2))
        for _ in range(4):  # with its queue full, it answers nobody
            waiting = ends.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each.getsockname()) for each in (silent, server)]
        monkeypatch.setattr(sockets, "_look_up", lambda *_: found)
        report = sockets.Report()
        connection = sockets.dial(Target(host="broker.example.com", port=1883, client_id="c", trusted=True), 2, report)
        ends.callback(connection.buffer.close)
        assert connection.buffer.sock.getpeername() == server.getsockname()


def test_a_batch_is_known_until_the_database_has_ended_it() -> None:
    claims = Claims()
    for batch, msg_id in ((7, 1), (7, 2), (8, 3)):
        claims.take(ID, batch, msg_id, 0.0)
    assert claims.end(1) == (ID, 0.0, None)
    assert claims.end(2) == (ID, 0.0, 7)
    assert sorted(claims.batches()) == [7, 8]
    claims.finished([7])
    assert claims.batches() == [8]


@pytest.mark.parametrize(
    ("messages", "seconds", "since_last", "pause"),
    [
        (1, 0.0005, 10.0, 0.002),  # the first one after a while
        (1, 0.003, 10.0, 0.0025),
        (4, 0.0035, 0.006, 0.0025),  # 670 a second
        (20, 0.005, 0.03, 0.0025),  # as many, after a long pause: it is not kept
        (44, 0.008, 0.033, 0.025),  # twice as many
        (9, 0.006, 0.0085, 0.024),  # that many a second after a short pause
        (BATCH // 2, 0.1, 0.1, 0.0),
    ],
)
def test_the_worker_pauses_longer_only_when_much_arrives_in_a_batch(messages: int, seconds: float, since_last: float, pause: float) -> None:
    assert pause_after(messages, seconds, since_last) == pytest.approx(pause)


def test_log_lines_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up()
    log.info("event", plain="a.b:1", odd='two words "and" \nmore', nothing=None)
    line = capsys.readouterr().err
    assert line.endswith(' INFO event plain=a.b:1 odd="two words \\"and\\" \\nmore"\n')
    assert datetime.fromisoformat(line.split()[0]).utcoffset() == timedelta(0)


@pytest.mark.parametrize("levels", [1, 200, 201, 100_000])
def test_an_answer_nested_deeper_than_the_parser_goes_is_read_without_its_depths(levels: int) -> None:
    deep = '{"a": ' * levels + '"] } \\"" ' + "}" * levels
    rows = api.loads(f'[{{"id": 1, "payload": {deep}, "topic": "a"}}, {{"id": 2, "payload": [{deep}, 3]}}]'.encode())
    assert [row["id"] for row in rows] == [1, 2]
    assert rows[0]["topic"] == "a"
    assert rows[1]["payload"][1] == 3
    inner, depth = rows[0]["payload"], 0
    while isinstance(inner, dict):
        inner, depth = inner["a"], depth + 1
    assert (inner, depth) == ('] } "', levels) if levels <= 201 else inner == "…"


def test_log_lines_are_json_if_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("INFO", "json")
    log.info("event", number=7, odd='two "words"\nmore', nothing=None)
    logging.getLogger("paho").warning("a library's %s", "words")
    try:
        raise ValueError("why")  # noqa: TRY301
    except ValueError:
        log.error("failed", exc_info=True)
    first, second, third = map(json.loads, capsys.readouterr().err.splitlines())
    assert datetime.fromisoformat(first.pop("time")).utcoffset() == timedelta(0)
    assert first == {"level": "INFO", "event": "event", "number": 7, "odd": 'two "words"\nmore'}
    assert (second["event"], second["message"]) == ("log", "a library's words")
    assert "ValueError: why" in third["exception"]


class TestMosquittoSessionsFile:
    def test_what_the_plugin_wrote(self, tmp_path: Path) -> None:
        path = tmp_path / "sessions"
        assert mosquitto.read_sessions(path) is None
        path.write_text("pump\t3\t1000\nvalve\t1\t1001\nend\t\n")
        found = mosquitto.read_sessions(path)
        assert found is not None
        assert (found.usernames, found.counts, found.last_at) == (["pump", "valve"], [3, 1], [1000, 1001])

    @pytest.mark.parametrize("text", ["", "pump\t3\t1000\n", "pump\tx\t1000\nend\t\n", "pump\nend\t\n"])
    def test_something_else(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "sessions"
        path.write_text(text)
        with pytest.raises((ValueError, IndexError)):
            mosquitto.read_sessions(path)


def test_organizations_in_the_metrics() -> None:
    """Those that the database names, with their limits; the next time, those that it names then and no others."""
    gauges = metrics.OrganizationGauges()
    row = {"messages": 8, "bytes": 80, "processing_seconds": 0.5, "queued_messages": 2, "broker_connections": 1, "stream_connections": 5}
    try:
        gauges.refresh(lambda: [{"organization": "acme", **row, "limits": {"max_calls": 3}}])
        found = {(sample.name, *sorted(sample.labels.values())): sample.value for family in gauges.collect() for sample in family.samples}
        assert found == {
            ("topicbase_organization_messages", "acme"): 8,
            ("topicbase_organization_bytes", "acme"): 80,
            ("topicbase_organization_processing_seconds", "acme"): 0.5,
            ("topicbase_organization_queued_messages", "acme"): 2,
            ("topicbase_organization_connections", "acme", "broker"): 1,
            ("topicbase_organization_connections", "acme", "stream"): 5,
            ("topicbase_organization_limit", "acme", "max_calls"): 3,
        }
        gauges.refresh(lambda: pytest.fail("asked again within a minute"))
        gauges.REFRESH_SECONDS = gauges._due_at = 0.0
        gauges.refresh(list)
        assert [sample for family in gauges.collect() for sample in family.samples] == []
    finally:
        REGISTRY.unregister(gauges)
