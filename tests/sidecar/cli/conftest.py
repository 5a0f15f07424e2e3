from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sidecar.cli.host import Host


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.close()


@pytest.fixture
def serving(host: Host) -> Host:
    host.start_engine()
    return host
