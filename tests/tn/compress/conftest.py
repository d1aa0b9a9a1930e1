"""Small models of transformers, with random weights large enough to matter."""

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

SIZES = {
    "vocab_size": 24,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


def seeded(model, config):
    torch.manual_seed(0)
    return model(config)


@pytest.fixture
def llama():
    """A Llama with grouped-query attention and a tied head, and tokens of shape (32, 10)."""
    config = LlamaConfig(**SIZES, intermediate_size=32, num_key_value_heads=2, tie_word_embeddings=True)
    return seeded(LlamaForCausalLM, config), torch.randint(24, (32, 10))


@pytest.fixture
def gpt2():
    """Its linear layers are `Conv1D`, whose weights are transposed."""
    return seeded(GPT2LMHeadModel, GPT2Config(**SIZES, n_positions=16))


@pytest.fixture
def bert():
    """An encoder with biases and a tied head."""
    return seeded(BertForMaskedLM, BertConfig(**SIZES, intermediate_size=32))


@pytest.fixture
def chain():
    """A model of one's own for samples of shape (N, 12)."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(12, 16), torch.nn.Tanh(), torch.nn.Linear(16, 16, bias=False), torch.nn.Linear(16, 3)
    )
