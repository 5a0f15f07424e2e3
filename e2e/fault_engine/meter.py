"""What is counted about the engine. A dialect with a metrics page shows it in its own names; this one shows nothing."""

from .request import Stats

NOTHING_YET = Stats(running=0, waiting=0, withheld=False, kv_usage=0.0, prefix_queries=0, prefix_hits=0)


class Meter:
    """For dialects without a metrics page."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.stats = NOTHING_YET
        """As the engine's last step said it, hung or not."""

    def page(self) -> bytes | None:
        """The metrics page; None: there is none."""
        return None

    def show_step(self, stats: Stats) -> None:
        """What an engine step reported."""
        self.stats = stats

    def show_sleep(self, level: int | None) -> None:
        """None: awake."""

    def count_first_token(self, seconds: float, prompt_tokens: int) -> None:
        """When its prefill has ended."""

    def count_tokens(self, gap_seconds: float | None) -> None:
        """Of one stream."""

    def count_step(self, tokens: int) -> None:
        """Of all streams."""

    def count_finished(self, reason: str, seconds: float, prompt_tokens: int, tokens: int) -> None:
        """A request is over."""

    def count_answer(self, method: str, path: str, status: int) -> None:
        """Of any endpoint."""

    def count_rejection(self) -> None:
        """A request was turned away at the door."""
