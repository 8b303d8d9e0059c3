"""An organization with a device for each file of the gateway's tests."""

import pytest

from tests.support.api import Api, Device
from tests.support.stack import Stack
from tests.support.tenant import Tenant, make_tenant


@pytest.fixture(scope="module")
def home(stack: Stack, api: Api) -> Tenant:
    return make_tenant(stack, api)


@pytest.fixture(scope="module")
def device(home: Tenant) -> Device:
    return home.device()
