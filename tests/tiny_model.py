"""A causal LM of two layers with random weights and a tokenizer of 500 tokens, for tests in seconds."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from langchain_memllm.local import MemLLMModel

CORPUS = [
    "Ada Lovelace was born in London in 1815. ({MEM_READ(Ada Lovelace>>place of birth>>)-->London}) She wrote notes.",
    "({USER_ST})Oslo is the capital of Norway.({USER_END})({MEM_WRITE-->Oslo>>capital of>>Norway;Bo>>likes>>tea})",
    "São Paulo, Ελλάδα, Москва – 東京 \\s \\\\ -- {a} > b",
] * 4


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, special_tokens=specials, show_progress=False),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )


def tiny(seed: int = 0, *, caches: int = 4, window: int = 512) -> MemLLMModel:
    tokenizer = tiny_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=window,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
    )
    return MemLLMModel(LlamaForCausalLM(config).eval(), tokenizer, name="tiny", caches=caches)
