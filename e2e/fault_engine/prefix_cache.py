"""Which prompt blocks were computed before. Pure; stands for vLLM's prefix cache in its counters and its speed."""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

from .limits import BLOCK_TOKENS


class PrefixCache:
    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._blocks: OrderedDict[bytes, int] = OrderedDict()  # by whose computation

    def reuse(self, prompt: Sequence[int], salt: str, number: int = 0) -> tuple[int, int]:
        """How many leading tokens are cached, and the number of the request that computed the first of them.

        The prompt's own full blocks are cached from now on, as this request's.

        The last token is always computed, as in vLLM: it yields the first token of the answer.
        """
        cached, origin = 0, number
        contiguous = True
        link = salt.encode()
        for end in range(BLOCK_TOKENS, len(prompt), BLOCK_TOKENS):
            block = prompt[end - BLOCK_TOKENS : end]
            link = blake2b(link + repr(block).encode(), digest_size=8).digest()
            contiguous = contiguous and link in self._blocks
            if contiguous:
                cached, origin = end, min(origin, self._blocks[link])
            self._blocks.setdefault(link, number)
            self._blocks.move_to_end(link)
        while len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)
        return cached, origin

    def clear(self) -> None:
        self._blocks.clear()
