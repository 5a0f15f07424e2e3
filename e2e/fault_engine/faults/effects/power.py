"""Sleep, pause and wake that are not what they say."""

from dataclasses import dataclass

from .effect import Effect


@dataclass(frozen=True, slots=True)
class WakeError(Effect):
    status: int = 500

    def wake_status(self) -> int | None:
        return self.status


class WakeInName(Effect):
    def wakes_in_name_only(self) -> bool:
        return True

    def denies_sleep(self, *, woken: bool) -> bool:
        return woken


class KeepCache(Effect):
    def keeps_cache_in_sleep(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Enter(Effect):
    """Somebody else puts the engine to sleep, or pauses it."""

    mode: str  # sleep or pause
    unseen: bool = False
    """The state endpoints deny it."""

    def state(self) -> str | None:
        return self.mode

    def denies_sleep(self, *, woken: bool) -> bool:
        del woken
        return self.unseen
