"""The JSON of completions and chat answers, field by field as vLLM 0.32 sends it. Pure."""

from dataclasses import dataclass
from typing import Any, Final

from .generation import Generation

FINGERPRINT: Final = "vllm-0.32.0-8e696aff"


@dataclass(frozen=True, slots=True)
class Piece:
    """What one chunk carries."""

    text: str
    tokens: list[int]
    finish: str | None = None
    stop_reason: str | None = None


@dataclass(slots=True)
class Answer:
    """One answer in the making: knows what was said already, so that each chunk has vLLM's fields."""

    generation: Generation
    model: str
    created: int
    said: int = 0  # tokens
    opened: bool = False

    def opening(self) -> list[dict[str, Any]]:
        """The chunk before the first token: a chat's role."""
        if not self.generation.chat:
            return []
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        chunk = self._chunk(choice)
        chunk["prompt_token_ids"] = self._prompt_ids()
        chunk["prompt_text"] = None
        self.opened = True
        return [chunk]

    def chunk(self, piece: Piece) -> dict[str, Any]:
        self.said += len(piece.tokens)
        chunk = self._chunk(self._chat_choice(piece) if self.generation.chat else self._text_choice(piece))
        self.opened = True
        if piece.finish and not self.generation.include_usage:
            chunk["system_fingerprint"] = FINGERPRINT
        return chunk

    def usage_chunk(self) -> dict[str, Any]:
        return self._head(chunk=True) | {
            "choices": [],
            "usage": self._usage(),
            "system_fingerprint": FINGERPRINT,
        }

    def whole(self, piece: Piece) -> dict[str, Any]:
        self.said = len(piece.tokens)
        usage = self._usage() | {"prompt_tokens_details": None, "completion_tokens_details": None}
        tail: dict[str, Any] = {"kv_transfer_params": None, "ec_transfer_params": None, "metrics": None}
        choice = self._whole_chat_choice(piece) if self.generation.chat else self._whole_text_choice(piece)
        answer = self._head(chunk=False) | {
            "choices": [choice],
            "service_tier": None,
            "system_fingerprint": FINGERPRINT,
            "usage": usage,
        }
        if self.generation.chat:
            answer |= {
                "prompt_logprobs": None,
                "prompt_token_ids": self._prompt_ids(),
                "prompt_text": None,
            }
        return answer | tail

    def _head(self, *, chunk: bool) -> dict[str, Any]:
        if not self.generation.chat:
            kind = "text_completion"
        else:
            kind = "chat.completion.chunk" if chunk else "chat.completion"
        return {"id": self.generation.answer_id, "object": kind, "created": self.created, "model": self.model}

    def _chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        chunk = self._head(chunk=True) | {"choices": [choice]}
        if self.generation.continuous_usage:
            chunk["usage"] = self._usage() | {"completion_tokens_details": None}
        return chunk

    def _text_choice(self, piece: Piece) -> dict[str, Any]:
        return {
            "index": 0,
            "text": piece.text,
            "logprobs": None,
            "finish_reason": piece.finish,
            "stop_reason": piece.stop_reason,
            "prompt_token_ids": None if self.opened else self._prompt_ids(),
            "token_ids": self._ids(piece),
        }

    def _chat_choice(self, piece: Piece) -> dict[str, Any]:
        choice = {"index": 0, "delta": {"content": piece.text}, "logprobs": None, "finish_reason": piece.finish}
        if piece.finish:
            choice["stop_reason"] = piece.stop_reason
        choice["token_ids"] = self._ids(piece)
        return choice

    def _whole_text_choice(self, piece: Piece) -> dict[str, Any]:
        return {
            "index": 0,
            "text": piece.text,
            "logprobs": None,
            "finish_reason": piece.finish,
            "stop_reason": piece.stop_reason,
            "token_ids": self._ids(piece),
            "prompt_logprobs": None,
            "prompt_token_ids": self._prompt_ids(),
            "routed_experts": None,
        }

    def _whole_chat_choice(self, piece: Piece) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": piece.text}
        message |= dict.fromkeys(("refusal", "annotations", "audio", "function_call", "reasoning"))
        return {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": piece.finish,
            "stop_reason": piece.stop_reason,
            "token_ids": self._ids(piece),
            "routed_experts": None,
        }

    def _ids(self, piece: Piece) -> list[int] | None:
        return piece.tokens if self.generation.return_token_ids else None

    def _prompt_ids(self) -> list[int] | None:
        return self.generation.request.prompt if self.generation.return_token_ids else None

    def _usage(self) -> dict[str, Any]:
        prompt = len(self.generation.request.prompt)
        return {"prompt_tokens": prompt, "total_tokens": prompt + self.said, "completion_tokens": self.said}
