"""Makes a tiny Llama of random weights with a tokenizer of its own; run inside the vLLM environment.

The same environment makes the same model: fixed seed, and a vocabulary trained on text from a locked package.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import tokenizers  # type: ignore[import-not-found]
import torch  # type: ignore[import-not-found]
import transformers  # type: ignore[import-not-found]

SEED = 20
VOCABULARY = 2048
CONTEXT = 2048
TRAINING_PACKAGE = "networkx"
TRAINING_FILES = 120
SPECIAL_TOKENS = ("<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{%- for message in messages %}{{ '<|' + message.role + '|>' + message.content }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|assistant|>' }}{%- endif %}"
)


def tokenizer() -> transformers.PreTrainedTokenizerFast:
    package = find_spec(TRAINING_PACKAGE)
    assert package is not None
    assert package.origin is not None
    texts = sorted(Path(package.origin).parent.rglob("*.py"))[:TRAINING_FILES]
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train([str(path) for path in texts], trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        model_max_length=CONTEXT,
        chat_template=CHAT_TEMPLATE,
    )


def model(vocabulary: int, begin: int, end: int) -> transformers.LlamaForCausalLM:
    torch.manual_seed(SEED)
    shape = transformers.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        initializer_range=0.2,  # with the usual 0.02 the likeliest token hardly depends on the prompt
        bos_token_id=begin,
        eos_token_id=end,
        pad_token_id=end,
        tie_word_embeddings=False,
    )
    return transformers.LlamaForCausalLM(shape).to(torch.float32).eval()


def main(target: str) -> None:
    words = tokenizer()
    words.save_pretrained(target)
    model(len(words), words.bos_token_id, words.eos_token_id).save_pretrained(target)


if __name__ == "__main__":
    main(sys.argv[1])
