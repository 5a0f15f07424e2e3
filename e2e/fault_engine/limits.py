"""What both processes know about the engine's size and speed. Pure."""

from dataclasses import asdict, dataclass
from typing import Any, Final

BLOCK_TOKENS: Final = 16  # of the KV cache; vLLM's default on a GPU
STEP_TOKENS: Final = 2048  # prefill tokens in one step; a longer prompt takes several


@dataclass(frozen=True, slots=True)
class Limits:
    max_num_seqs: int = 16
    max_model_len: int = 4096
    token_seconds: float = 0.02
    prefill_token_seconds: float = 0.0002
    startup_seconds: float = 0.0
    noise: float = 0.0  # nats, in log probabilities, as the batches of a GPU give
    seed: int = 0

    @property
    def kv_blocks(self) -> int:
        """Enough for every slot at full length: this engine never preempts."""
        return self.max_num_seqs * -(-self.max_model_len // BLOCK_TOKENS)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
