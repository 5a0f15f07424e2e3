"""What somebody else does to the engine by way of a fault: sleep, pause, unload, and back."""

import time

from .service import Service


def notice_wake(service: Service) -> None:
    """For faults that begin with a wake."""
    service.board.active.notice_wake(time.monotonic())
    service.core.notice_wake()


async def follow_state(service: Service) -> None:
    """Enters the state that the faults in force demand, or leaves the one that they demanded."""
    active = service.board.active
    wanted, entered = active.entered_state(), service.entered
    if wanted == entered:
        return
    service.entered = wanted
    if entered in ("sleep", "pause"):
        await service.core.call("wake_up", tags=None)
        service.meter.show_sleep(None)
        service.core.release()
    if wanted in ("sleep", "pause"):
        service.core.holding = True
        if wanted == "pause":
            await service.core.call("pause", mode="abort")
            return
        await service.core.call("sleep", level=1, mode="abort")
        if not active.deny_sleep():
            service.meter.show_sleep(1)
    service.unloaded = wanted == "unload"
