"""The short form of tests/api/schemathesis_run.py: a few cases for each operation that a role is shown, always the same ones."""

import pytest

from tests.api.schemathesis_run import run
from tests.support.api import Api
from tests.support.stack import Stack
from tests.support.tenant import make_tenant


# member and nobody are shown what admin is; they are in the long form.
@pytest.mark.parametrize("role", ["anon", "admin", "service_role"])
def test_no_operation_of_the_openapi_page_answers_5xx(stack: Stack, api: Api, role: str) -> None:
    outcome = run(role, make_tenant(stack, api), examples=2)
    assert not outcome.failed, outcome.output
    assert outcome.cases >= 30, outcome.output
