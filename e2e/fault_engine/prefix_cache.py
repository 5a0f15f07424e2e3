"""Which prompt blocks were computed before. Pure; stands for vLLM's prefix cache in its counters and its speed."""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

from .limits import BLOCK_TOKENS


class PrefixCache:
    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._blocks: OrderedDict[bytes, None] = OrderedDict()

    def reuse(self, prompt: Sequence[int], salt: str) -> int:
        """How many leading tokens are cached; the prompt's own full blocks are cached from now on.

        The last token is always computed, as in vLLM: it yields the first token of the answer.
        """
        cached = 0
        contiguous = True
        link = salt.encode()
        for end in range(BLOCK_TOKENS, len(prompt), BLOCK_TOKENS):
            block = prompt[end - BLOCK_TOKENS : end]
            link = blake2b(link + repr(block).encode(), digest_size=8).digest()
            contiguous = contiguous and link in self._blocks
            if contiguous:
                cached = end
            self._blocks[link] = None
            self._blocks.move_to_end(link)
        while len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)
        return cached

    def clear(self) -> None:
        self._blocks.clear()
