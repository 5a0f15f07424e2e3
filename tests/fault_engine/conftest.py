from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fault_engine.process import EngineProcess


@pytest.fixture(scope="session")
def shared_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """One healthy engine with the limits of the recorded server; who breaks it mends it."""
    engine = EngineProcess(tmp_path_factory.mktemp("engine"), "--max-model-len", "1024", "--token-seconds", "0.02")
    yield engine
    engine.close()


@pytest.fixture
def engine(shared_engine: EngineProcess) -> Iterator[EngineProcess]:
    yield shared_engine
    shared_engine.lift()


@pytest.fixture
def start_engine(tmp_path: Path) -> Iterator[Callable[..., EngineProcess]]:
    started: list[EngineProcess] = []

    def start(*arguments: str, **options: object) -> EngineProcess:
        started.append(EngineProcess(tmp_path, *arguments, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for process in started:
        process.close()
