"""What runs of studies need to be stored."""

import pytest
from aiida import orm


@pytest.fixture
def code(aiida_profile):
    computer = orm.Computer.collection.get_or_create(
        label="localhost", hostname="localhost", transport_type="core.local", scheduler_type="core.direct"
    )[1]
    return orm.InstalledCode(label="some", computer=computer, filepath_executable="/opt/lmp").store()
