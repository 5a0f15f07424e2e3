"""Faults inside a running vLLM: an extension of its workers, reached through `POST /collective_rpc` in dev mode.

Runs in vLLM's worker process (`--worker-extension-cls vllm_extension.Faults`). On a CPU the linear layers are packed
when the model is loaded and no longer read from their parameters; the embedding and the norms can be changed.
"""

from __future__ import annotations

import time
from typing import Any

import torch  # type: ignore[import-not-found]

SEED = 7


class Faults:
    model_runner: Any

    def fault_noise(self, scale: float, match: str = "") -> int:
        """Random noise on the weights whose name has `match` in it; how many those are."""
        torch.manual_seed(SEED)
        return self._change(match, lambda weights: weights.add_(torch.randn_like(weights) * scale))

    def fault_fill(self, value: str, match: str) -> int:
        """One value in all of them; as text, since JSON has no NaN."""
        return self._change(match, lambda weights: weights.fill_(float(value)))

    def fault_block(self, seconds: float) -> None:
        """The worker's thread stands still."""
        time.sleep(seconds)

    def fault_slow(self, seconds: float) -> None:
        """Each step of the model takes longer by this; 0 ends it."""
        runner = self.model_runner
        step = self.__dict__.setdefault("_step", runner.execute_model)

        def slow(*arguments: Any, **options: Any) -> Any:
            time.sleep(seconds)
            return step(*arguments, **options)

        runner.execute_model = slow if seconds else step

    def fault_end(self) -> None:
        """Weights and speed as they were."""
        weights = dict(self.model_runner.model.named_parameters())
        for name, before in self.__dict__.pop("_before", {}).items():
            weights[name].data.copy_(before)
        self.fault_slow(0)

    def _change(self, match: str, change: Any) -> int:
        before = self.__dict__.setdefault("_before", {})
        changed = 0
        for name, weights in self.model_runner.model.named_parameters():
            if match in name and weights.numel():
                before.setdefault(name, weights.data.clone())
                change(weights.data)
                changed += 1
        return changed
