"""The catalogue of errors: it has every slug that the scripts raise, with its status, and no other; docs and COMMENTs say the same."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.support.migrations import deploy_scripts

ROOT = Path(__file__).resolve().parents[2]
CATALOG = {slug: error["status"] for slug, error in tomllib.loads((ROOT / "docs/reference/errors.toml").read_text()).items()}
SCRIPTS = {name: path.read_text() for name, path in deploy_scripts().items()}
# Ends the deploy of a server without pgmq; no call answers it.
ONLY_DEPLOY = {"pgmq_missing"}
# What a literal that is the slug of an error ends in: those that go through a variable are told by it.
SUFFIXES = (
    "invalid", "not_found", "missing", "empty", "too_large", "not_base64", "not_allowed", "inactive", "stopped", "full", "exceeded",
    "required", "conflict", "ambiguous", "revoked", "taken", "unavailable", "incompatible", "unknown", "credentials", "passwords",
    "limit_reached", "incomplete",
)  # fmt: skip
# Of that form, but not errors: activities in the log, names of tables, gauges, a reason that explain_mqtt_access gives.
NOT_ERRORS = {
    "credential_revoked", "broker_key_revoked", "api_key_revoked", "mqtt_credentials", "wrong_passwords", "subscribe_not_allowed",
    "organizations_stopped", "ingest_paused",
}  # fmt: skip
COMMENTS = re.compile(r"^COMMENT ON .*? IS\s+(?:'(?:[^']|'')*'\s*|\$md\$.*?\$md\$\s*)+;", re.DOTALL | re.MULTILINE)
CODE = {name: re.sub(r"--[^\n]*", "", COMMENTS.sub("", script)) for name, script in SCRIPTS.items()}
STATEMENT = re.compile(r"RAISE EXCEPTION '(\w+)' USING(.*?);\n", re.DOTALL)


def raised() -> dict[str, set[int]]:
    """Every slug with the statuses that it is raised with, as far as they stand beside it."""
    found: dict[str, set[int]] = {}
    for code in CODE.values():
        for slug, rest in STATEMENT.findall(code):
            if slug not in ONLY_DEPLOY:
                statuses = re.findall(r"ERRCODE = 'PT(\d+)'", rest)
                assert len(statuses) == 1, f"{slug} is raised without a status of its own"
                found.setdefault(slug, set()).add(int(statuses[0]))
        for mapping in re.findall(r"ERRCODE = CASE \w+ (.*?) END,", code, re.DOTALL):
            for slug, status in re.findall(r"WHEN '(\w+)' THEN 'PT(\d+)'", mapping):
                found.setdefault(slug, set()).add(int(status))
        for slugs, status in re.findall(r"WHEN slug IN \(([^)]*)\) THEN 'PT(\d+)'", code):
            for slug in re.findall(r"\w+", slugs):
                found.setdefault(slug, set()).add(int(status))
        for status, slug in re.findall(r"mqtt\.refuse_for_now\('(\d+)', '(\w+)'", code):
            found.setdefault(slug, set()).add(int(status))
        for slug, status in re.findall(r"WHEN '(\w+)' THEN\s+PERFORM mqtt\.refuse_for_now\('(\d+)', slug,", code):
            found.setdefault(slug, set()).add(int(status))
        for status, slug in re.findall(r"'code', 'PT(\d+)', 'message', '(\w+)'", code):
            found.setdefault(slug, set()).add(int(status))
    return found


def literals() -> set[str]:
    words = {word for code in CODE.values() for word in re.findall(r"'([a-z]+(?:_[a-z0-9]+)+)'", code)}
    return {word for word in words if word.endswith(SUFFIXES)} - ONLY_DEPLOY


def errors_of_comments() -> list[tuple[str, str, int | None]]:
    """Function, slug and status of each error that a COMMENT names."""
    named = []
    for script in SCRIPTS.values():
        for name, comment in re.findall(
            r"^COMMENT ON FUNCTION api\.(\w+)\(.*?\) IS\s*(\$md\$.*?\$md\$|'(?:[^']|'')*');", script, re.DOTALL | re.MULTILINE
        ):
            # What a rejected message of a batch is given as its code follows without a status.
            errors, _, codes = re.split(r"[Ee]rrors(?::| are)", comment + "Errors:")[1].partition("Codes of")
            status = None
            for number, slug in re.findall(r"\b(4\d\d|5\d\d)\b|`([a-z]+(?:_[a-z0-9]+)+)`", errors):
                if number:
                    status = int(number)
                else:
                    named.append((name, slug, status))
            named += [(name, slug, None) for slug in re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)`", codes)]
    return named


FUNCTIONS = set(re.findall(r"CREATE OR REPLACE FUNCTION api\.(\w+)", "\n".join(SCRIPTS.values())))


def test_every_error_is_in_the_catalogue_with_its_status() -> None:
    assert {slug: statuses for slug, statuses in raised().items() if statuses != {CATALOG.get(slug)}} == {}


def test_every_slug_that_goes_through_a_variable_is_in_the_catalogue() -> None:
    assert literals() - CATALOG.keys() - NOT_ERRORS == set()


def test_every_slug_of_the_catalogue_is_raised() -> None:
    assert CATALOG.keys() - raised().keys() - literals() == set()


def test_a_slug_that_stands_beside_no_status_has_that_of_the_rest() -> None:
    """mqtt.refuse_message and its like raise PT400 for whatever they give no other status."""
    assert {slug: status for slug, status in CATALOG.items() if slug not in raised() and status != 400} == {}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_the_errors_that_a_comment_names_are_in_the_catalogue(name: str) -> None:
    named = [(slug, status) for function, slug, status in errors_of_comments() if function == name and slug not in FUNCTIONS]
    assert [(slug, status) for slug, status in named if slug not in CATALOG or status not in (None, CATALOG[slug])] == []


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_comment_names_what_the_function_itself_raises(name: str) -> None:
    bodies = {
        function: body
        for script in SCRIPTS.values()
        for function, body in re.findall(r"CREATE OR REPLACE FUNCTION api\.(\w+)\((.*?)\n\$\$;", script, re.DOTALL)
    }
    own = {slug for slug, _ in STATEMENT.findall(bodies.get(name, ""))}
    assert own - {slug for function, slug, _ in errors_of_comments() if function == name} == set()


def test_the_page_is_up_to_date() -> None:
    result = subprocess.run([ROOT / "bin/error-docs", "--check"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
