"""The order in which the workers of pytest take the files of tests."""

from pathlib import Path

from tests.support.schedule import LONG, next_file

ROOT = Path(__file__).resolve().parents[2]


def test_long_files_come_first_whoever_asks() -> None:
    assert next_file(["tests/api/test_names.py", LONG[2], LONG[1]], mine=["tests/api/test_latest.py"], others=[]) == LONG[1]


def test_then_a_worker_stays_with_the_stack_that_it_has() -> None:
    waiting = ["tests/brokers/test_access.py", "tests/cli/test_rules.py", "tests/api/test_names.py"]
    assert next_file(waiting, mine=["tests/api/test_latest.py"], others=["tests/brokers/test_rabbitmq.py"]) == "tests/api/test_names.py"
    assert next_file(waiting[:2], mine=["tests/api/test_latest.py"], others=["tests/brokers/test_rabbitmq.py"]) == "tests/cli/test_rules.py"
    assert next_file(waiting[:1], mine=["tests/api/test_latest.py"], others=["tests/brokers/test_rabbitmq.py"]) == waiting[0]


def test_the_long_files_are_there() -> None:
    assert [file for file in LONG if not (ROOT / file).is_file()] == []
