"""Puts the server together from its settings, whatever runs it: sockets and processes, or a simulation."""

from .core_client import CoreClient
from .core_line import Connect, start_process
from .dialects import DIALECTS
from .fault_board import FaultBoard
from .generation import Terms
from .permits import Permits
from .service import Service
from .settings import Settings
from .states import follow_state


def make_service(settings: Settings, board: FaultBoard, connect: Connect = start_process) -> Service:
    dialect = DIALECTS[settings.dialect]
    meter = dialect.meter(settings.model)
    served = None if dialect.any_model else settings.model
    return Service(
        settings,
        CoreClient(settings.limits, meter, connect),
        meter,
        board,
        Terms(served, settings.limits, settings.model_kind, dialect.completion_tokens),
        permits=Permits(settings.max_concurrent, sticky=dialect.sticky) if dialect.limited else None,
        overload=dialect.overload,
    )


def apply_orders(service: Service) -> None:
    """What was ordered takes effect in the API server's loop and in the EngineCore."""
    service.core.order_faults(service.board.orders)
    service.in_background(follow_state(service))
