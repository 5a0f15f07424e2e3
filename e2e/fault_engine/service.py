"""What the endpoints share: settings, the engine behind them, and the state of the API server itself."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import time

from .core_client import CoreClient
from .exchange import Exchange
from .fault_board import FaultBoard
from .metrics import EngineMetrics
from .settings import Settings


@dataclass(slots=True)
class Service:
    settings: Settings
    core: CoreClient
    metrics: EngineMetrics
    board: FaultBoard
    created: int = field(default_factory=lambda: int(time()))
    load: int = 0  # generations between arrival and end, whatever the engine does with them
    stopping: bool = False


Endpoint = Callable[[Service, Exchange], Awaitable[None]]
Routes = dict[tuple[str, str], Endpoint]  # by method and path
