"""Settings from a file: what systemd's EnvironmentFile takes is taken, and what is wrong is named."""

import base64
import os
from pathlib import Path

import nacl.public
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import sealing, settings


def written(directory: Path, text: str, mode: int = 0o644) -> Path:
    path = directory / "bridge.env"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_lines_quotes_and_comments(tmp_path: Path) -> None:
    text = '# the database\nPGHOST=db.example.com\n\n; and more\n  TOPICBASE_LOG_LEVEL = "DEBUG"  \n'
    path = written(tmp_path, text + "export PGUSER='mqtt_bridge'\nTOPICBASE_METRICS_ADDRESS=\n")
    assert settings.read_file(path) == {
        "PGHOST": "db.example.com", "TOPICBASE_LOG_LEVEL": "DEBUG", "PGUSER": "mqtt_bridge", "TOPICBASE_METRICS_ADDRESS": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("PGHOST", "line 1: not KEY=VALUE"),
        ("PGHOST=a\nTOPICBASE_LOG_LEVLE=DEBUG", "line 2: unknown setting TOPICBASE_LOG_LEVLE"),
        ("PATH=/bin", "line 1: unknown setting PATH"),
        ("PGHOST=a\n\nPGHOST=b", "line 3: PGHOST is set twice"),
        ("PGPASSWORD=x", "holds PGPASSWORD and may be read by others"),
        ("TOPICBASE_TOKEN=x", "holds TOPICBASE_TOKEN and may be read by others"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(settings.SettingsError, match=fault):
        settings.read_file(written(tmp_path, text))


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(settings.SettingsError, match=r"TOPICBASE_CONFIG=.* cannot be read"):
            settings.read_file(path)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(settings.SettingsError, match="cannot be read"):
        settings.read_file(tmp_path / "bytes")


def test_a_secret_that_only_its_owner_reads(tmp_path: Path) -> None:
    assert settings.read_file(written(tmp_path, "PGPASSWORD=x", 0o600)) == {"PGPASSWORD": "x"}


def test_the_environment_wins(tmp_path: Path) -> None:
    path = written(tmp_path, "TOPICBASE_LOG_LEVEL=DEBUG\nTOPICBASE_METRICS_ADDRESS=127.0.0.1:9000\n")
    source = settings.Source(path, {"TOPICBASE_LOG_LEVEL": "ERROR"})
    found = source.read()
    assert (found.log_level, found.metrics_address) == ("ERROR", ("127.0.0.1", 9000))


def test_variables_of_libpq_are_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGUSER", "of_the_environment")
    monkeypatch.delenv("PGAPPNAME", raising=False)
    path = written(tmp_path, "PGUSER=of_the_file\nPGAPPNAME=of_the_file\n")
    source = settings.Source(path)
    source.export()
    assert (os.environ["PGUSER"], os.environ["PGAPPNAME"]) == ("of_the_environment", "of_the_file")
    assert source.moved() == []
    written(tmp_path, "PGUSER=another\nPGAPPNAME=another\n")
    assert source.moved() == ["PGAPPNAME"]
    monkeypatch.delenv("PGAPPNAME")


def test_a_file_that_overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGPASSWORD", "PGHOSTADDR", "PGSERVICE", "PGUSER", "PGSSLMODE"):
        monkeypatch.setenv(name, "of_the_environment")
    for name in ("PGHOST", "PGPASSFILE"):
        monkeypatch.delenv(name, raising=False)
    path = written(tmp_path, "PGUSER=of_the_file\nPGHOST=of_the_file\nPGPASSFILE=of_the_file\n")
    source = settings.Source(path, overrides=True)
    source.export()
    try:
        left = {name: value for name, value in os.environ.items() if name.startswith("PG")}
        expected = dict.fromkeys(("PGUSER", "PGHOST", "PGPASSFILE"), "of_the_file") | {"PGSSLMODE": "of_the_environment"}
        assert {name: left.get(name) for name in (*expected, "PGPASSWORD", "PGHOSTADDR", "PGSERVICE")} == expected | dict.fromkeys(
            ("PGPASSWORD", "PGHOSTADDR", "PGSERVICE")
        )
        assert source.moved() == []
    finally:
        for name in ("PGHOST", "PGPASSFILE"):
            monkeypatch.delenv(name)


@given(
    st.dictionaries(
        st.sampled_from(sorted(settings.NAMES - {"TOPICBASE_TOKEN"})), st.text(st.characters(codec="ascii", categories=["L", "N", "P"]))
    )
)
def test_whatever_a_value_holds(tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]) -> None:
    path = written(tmp_path_factory.mktemp("settings"), "".join(f'{name}="{value}"\n' for name, value in values.items()))
    assert settings.read_file(path) == values


class TestKeys:
    def test_old_keys_open_what_was_sealed_before(self, tmp_path: Path) -> None:
        old_public = sealing.make_key_file(tmp_path / "old")
        new_public = sealing.make_key_file(tmp_path / "new")
        box = nacl.public.SealedBox(nacl.public.PublicKey(base64.b64decode(old_public))).encrypt(b"secret")
        value = {"sealed": base64.b64encode(box).decode(), "key": sealing.key_id(base64.b64decode(old_public))}
        environment = {"TOPICBASE_PRIVATE_KEY_FILE": str(tmp_path / "new"), "TOPICBASE_OLD_PRIVATE_KEY_FILES": f"{tmp_path / 'old'}:"}
        keys = settings.read(environment).private_keys
        assert keys is not None
        assert (keys.public_key, len(keys.ids)) == (new_public, 2)
        for claimed in ({}, {"key": "0" * 16}, {"key": keys.current}):
            assert sealing.unseal(keys, {**value, **claimed}) == "secret"
        again = keys.reseal(value)
        assert again["key"] == keys.current
        assert sealing.unseal(sealing.Keyring(*sealing.read_key_file(tmp_path / "new")), again) == "secret"
        with pytest.raises(ValueError, match="cannot be opened"):
            sealing.unseal(sealing.Keyring(*sealing.read_key_file(tmp_path / "old")), again)

    def test_an_old_key_alone_is_none(self, tmp_path: Path) -> None:
        sealing.make_key_file(tmp_path / "old")
        with pytest.raises(settings.SettingsError, match="the current key, is not"):
            settings.read({"TOPICBASE_OLD_PRIVATE_KEY_FILES": str(tmp_path / "old")})
        sealing.make_key_file(tmp_path / "new")
        with pytest.raises(settings.SettingsError, match=r"TOPICBASE_OLD_PRIVATE_KEY_FILES=.* cannot be read"):
            settings.read({"TOPICBASE_PRIVATE_KEY_FILE": str(tmp_path / "new"), "TOPICBASE_OLD_PRIVATE_KEY_FILES": str(tmp_path / "none")})
