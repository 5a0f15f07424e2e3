"""The JSON of completions and chat answers, field by field as vLLM 0.32 sends it. Pure."""

from dataclasses import dataclass
from typing import Any, Final

from .. import tokenizer
from ..request import Said
from ..speech import Piece, Speech, spaced_sse, sse

FINGERPRINT: Final = "vllm-0.32.0-8e696aff"


@dataclass(slots=True)
class VllmSpeech(Speech):
    """Each chunk with vLLM's fields in vLLM's order."""

    def open(self) -> bytes:
        """The chunk before the first token: a chat's role."""
        if not self.generation.chat:
            return b""
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        chunk = self._chunk(choice)
        chunk["prompt_token_ids"] = self._prompt_ids()
        chunk["prompt_text"] = None
        self.opened = True
        return sse(chunk)

    def chunk(self, piece: Piece) -> bytes:
        chunk = self._chunk(self._chat_choice(piece) if self.generation.chat else self._text_choice(piece))
        if piece.finish and not self.generation.include_usage:
            chunk["system_fingerprint"] = FINGERPRINT
        return sse(chunk)

    def empty(self) -> bytes:
        return sse(self._head(chunk=True) | {"choices": []})

    def close(self) -> bytes:
        if not self.generation.include_usage:
            return b""
        usage = {"choices": [], "usage": self._usage(), "system_fingerprint": FINGERPRINT}
        return sse(self._head(chunk=True) | usage)

    def error(self, status: int, message: str, kind: str) -> bytes:
        return spaced_sse({"error": {"message": message, "type": kind, "param": None, "code": status}})

    def whole(self, piece: Piece) -> dict[str, Any]:
        usage = self._usage() | {"prompt_tokens_details": self._details(), "completion_tokens_details": None}
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
            "text": _completion_text(piece),
            "logprobs": self._logprobs(piece),
            "finish_reason": piece.finish,
            "stop_reason": piece.stop_reason,
            "prompt_token_ids": None if self.opened else self._prompt_ids(),
            "token_ids": self._ids(piece),
        }

    def _chat_choice(self, piece: Piece) -> dict[str, Any]:
        delta = {"reasoning": piece.reasoning} if piece.reasoning else {}
        if piece.text or not delta:
            delta["content"] = piece.text
        logprobs = self._logprobs(piece)
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": piece.finish}
        if piece.finish:
            choice["stop_reason"] = piece.stop_reason
        choice["token_ids"] = self._ids(piece)
        return choice

    def _whole_text_choice(self, piece: Piece) -> dict[str, Any]:
        return {
            "index": 0,
            "text": _completion_text(piece),
            "logprobs": self._logprobs(piece),
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
        message["reasoning"] = piece.reasoning or None
        return {
            "index": 0,
            "message": message,
            "logprobs": self._logprobs(piece),
            "finish_reason": piece.finish,
            "stop_reason": piece.stop_reason,
            "token_ids": self._ids(piece),
            "routed_experts": None,
        }

    def _ids(self, piece: Piece) -> list[int] | None:
        return piece.tokens if self.generation.return_token_ids else None

    def _prompt_ids(self) -> list[int] | None:
        return self.generation.request.prompt if self.generation.return_token_ids else None

    def _details(self) -> dict[str, Any] | None:
        return {"cached_tokens": self.cached} if self.tells_cached else None

    def _usage(self) -> dict[str, Any]:
        return self.usage() | ({"prompt_tokens_details": self._details()} if self.tells_cached else {})

    def _logprobs(self, piece: Piece) -> dict[str, Any] | None:
        asked = self.generation.logprobs
        if asked is None:
            return None
        if self.generation.chat:
            return {"content": [_chat_logprob(said, asked) for said in piece.said]}
        texts = [tokenizer.decode([said.token]) for said in piece.said]
        before = len(self.text) - len(piece.text)
        return {
            "text_offset": [before + len("".join(texts[:place])) for place in range(len(texts))],
            "token_logprobs": [said.logprob for said in piece.said],
            "tokens": texts,
            "top_logprobs": [dict(_candidates(said, asked)) for said in piece.said],
        }


def _completion_text(piece: Piece) -> str:
    return piece.reasoning + piece.text


def _candidates(said: Said, count: int) -> list[tuple[str, float | None]]:
    """The chosen token, and the runner-up where more than one is asked for."""
    pairs = [(tokenizer.decode([said.token]), said.logprob), (tokenizer.decode([said.second]), said.second_logprob)]
    return pairs[: max(1, min(2, count))]


def _chat_logprob(said: Said, count: int) -> dict[str, Any]:
    told = [
        {"token": text, "logprob": logprob, "bytes": list(text.encode())} for text, logprob in _candidates(said, count)
    ]
    return told[0] | {"top_logprobs": told[:count]}
