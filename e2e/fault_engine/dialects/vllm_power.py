"""vLLM's development endpoints: sleep, pause, cache, abort. They ask the EngineCore, and hang when it hangs."""

from typing import Final

from ..errors import bad_request, turned_away
from ..exchange import Exchange
from ..service import Routes, Service
from ..states import notice_wake


async def is_sleeping(service: Service, exchange: Exchange) -> None:
    await exchange.reply(200, {"is_sleeping": await service.core.call("is_sleeping")})


async def is_paused(service: Service, exchange: Exchange) -> None:
    await exchange.reply(200, {"is_paused": await service.core.call("is_paused")})


async def pause(service: Service, exchange: Exchange) -> None:
    mode = _mode(exchange)
    service.core.holding = True
    await service.core.call("pause", mode=mode)
    await exchange.reply(200, {"status": "paused"})


async def resume(service: Service, exchange: Exchange) -> None:
    await service.core.call("resume")
    service.core.release()
    await exchange.reply(200, {"status": "resumed"})


async def sleep(service: Service, exchange: Exchange) -> None:
    text = exchange.parameter("level", "1")
    if text not in ("0", "1", "2"):
        raise bad_request("level must be 0, 1 or 2. (parameter=level)", "level")
    level, mode = int(text), _mode(exchange)
    service.core.holding = True
    await service.core.call("sleep", level=level, mode=mode)
    if not service.board.active.deny_sleep():
        service.meter.show_sleep(level)
    await exchange.reply(200, {"status": "sleeping", "level": level})


async def wake_up(service: Service, exchange: Exchange) -> None:
    tags = exchange.parameters("tags")
    active = service.board.active
    failure = active.wake_status()
    if failure is not None:
        raise turned_away(failure, "CUDA out of memory. Tried to allocate 2.00 GiB.")
    if active.wake_in_name_only():
        notice_wake(service)
        service.meter.show_sleep(None)
        await exchange.reply(200, {"status": "awake", "tags": tags})
        return
    awake = await service.core.call("wake_up", tags=tags)
    if awake:
        notice_wake(service)
        service.meter.show_sleep(None)
        service.core.release()
    await exchange.reply(200, {"status": "awake" if awake else "sleeping", "tags": tags})


async def reset_prefix_cache(service: Service, exchange: Exchange) -> None:
    preempt = exchange.parameter("reset_running_requests", "false") == "true"
    await exchange.reply(200, {"success": await service.core.call("reset_prefix_cache", preempt=preempt)})


async def abort_requests(service: Service, exchange: Exchange) -> None:
    ids = exchange.json_body().get("request_ids") if exchange.body else None
    await exchange.reply(200, {"status": "aborted", "aborted": service.core.abort_requests(ids)})


def _mode(exchange: Exchange) -> str:
    mode = exchange.parameter("mode", "abort")
    if mode not in ("abort", "wait", "keep"):
        raise bad_request("mode must be abort, wait or keep. (parameter=mode)", "mode")
    return mode


ROUTES: Final[Routes] = {
    ("GET", "/is_sleeping"): is_sleeping,
    ("GET", "/is_paused"): is_paused,
    ("POST", "/pause"): pause,
    ("POST", "/resume"): resume,
    ("POST", "/sleep"): sleep,
    ("POST", "/wake_up"): wake_up,
    ("POST", "/reset_prefix_cache"): reset_prefix_cache,
    ("POST", "/abort_requests"): abort_requests,
}
