"""Embeddings as tensor trains: rows without the table, padding, and fits that know how often tokens occur."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import BertForMaskedLM

from bondwise.tn.compress import TTEmbedding, compress, load, save, to_dense
from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.calibration.moments import measure_moments
from bondwise.tn.compress.layers import Layer, find_layers


def embedding(rows, columns, padding=None):
    torch.manual_seed(0)
    return Layer("layer", nn.Embedding(rows, columns, padding_idx=padding, dtype=torch.float64))


def full(layer):
    return layer.shape[0] * layer.shape[1]


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(2, 40), columns=st.integers(2, 24), padded=st.booleans())
def test_the_full_rank_reproduces_the_table_and_its_rows(rows, columns, padded):
    layer = embedding(rows, columns, rows - 1 if padded else None)
    frequencies = torch.rand(rows, generator=torch.Generator().manual_seed(rows)).double() ** 4
    module = TTEmbedding.fits(layer, layer.weight, Metric(frequencies)).build(full(layer))
    assert torch.allclose(module.dense(), layer.weight, rtol=0, atol=1e-10)
    tokens = torch.arange(rows)[:, None]
    assert torch.allclose(module(tokens), layer.weight[:, None], rtol=0, atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(2, 40), columns=st.integers(2, 24), rank=st.integers(1, 5), padded=st.booleans())
def test_rows_are_those_of_the_dense_table(rows, columns, rank, padded):
    layer = embedding(rows, columns, 1 if padded else None)
    module = TTEmbedding.fits(layer, layer.weight, Metric()).build(rank)
    assert sum(core.numel() for core in module.cores) == TTEmbedding.num_params(layer, rank)
    assert module.embedding_dim == columns
    tokens = torch.randint(rows, (3, 4))
    assert torch.allclose(module(tokens), module.dense()[tokens])
    assert torch.allclose(module(tokens[0, 0]), module.dense()[tokens[0, 0]])


def test_compiled_and_in_lower_precision():
    layer = Layer("layer", nn.Embedding(30, 12, padding_idx=3))
    module = TTEmbedding.fits(layer, layer.weight, Metric()).build(2)
    tokens = torch.randint(30, (3, 4))
    assert torch.equal(torch.compile(module, fullgraph=True, backend="eager")(tokens), module(tokens))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(module(tokens).float(), module(tokens.clone()).float(), atol=0.1)


def test_a_table_of_rank_one_in_each_digit_needs_rank_one():
    parts = [torch.randn(4, 2), torch.randn(4, 2), torch.randn(4, 3)]
    table = torch.einsum("ad,be,cf->abcdef", *parts).reshape(64, 12).double()
    layer = Layer("layer", nn.Embedding.from_pretrained(table))
    module = TTEmbedding.fits(layer, layer.weight, Metric()).build(1)
    assert torch.allclose(module.dense(), table, atol=1e-9)


def test_one_cut_is_the_low_rank_product_of_two_tables():
    left, right = torch.randn(6, 5), torch.randn(5, 8)
    module = TTEmbedding([left[:, None, None, :], right.reshape(1, 5, 8, 1)], num_embeddings=6)
    assert torch.allclose(module.dense(), left @ right)
    assert torch.allclose(module(torch.tensor([5, 2])), (left @ right)[[5, 2]])


def test_frequent_tokens_are_fitted_better():
    layer = embedding(60, 12)
    frequencies = torch.full((60,), 1e-3, dtype=torch.float64)
    frequencies[:10] = 1.0
    weighted = TTEmbedding.fits(layer, layer.weight, Metric(frequencies))
    plain = TTEmbedding.fits(layer, layer.weight, Metric())
    errors = [(fits.build(3).dense() - layer.weight).square()[:10].sum() for fits in (weighted, plain)]
    assert errors[0] < 0.5 * errors[1]
    assert all(np.diff(weighted.losses) <= 0)
    found = weighted.build(weighted.ranks[-1]).dense() - layer.weight
    metric = Metric(frequencies)
    assert 0.5 * float((found.T * metric.pulled(found.T)).sum().detach()) == pytest.approx(
        weighted.losses[-1]
    )


def test_calibration_counts_the_tokens(gpt2):
    tokens = torch.randint(24, (16, 10), generator=torch.Generator().manual_seed(0))
    layers = find_layers(gpt2, kinds={"embedding"})
    assert list(layers) == ["transformer.wpe"]  # the table of the tokens is the head too
    metric = measure_moments(gpt2, layers, {}, [tokens], torch.Generator().manual_seed(0)).metrics[
        "transformer.wpe"
    ]
    assert torch.allclose(metric.inputs[:10], torch.full((10,), 0.1).double())
    assert not metric.inputs[10:].any()
    assert metric.gradients.shape == (16, 16)


def test_compressed_only_if_it_is_asked_for(bert, tmp_path):
    bert = BertForMaskedLM(copy.deepcopy(bert.config))
    bert.config.tie_word_embeddings = False
    bert.cls.predictions.decoder.weight = nn.Parameter(bert.cls.predictions.decoder.weight.detach().clone())
    tokens = torch.randint(1, 24, (16, 10))
    assert not any("embeddings" in name for name in compress(bert, 0.6, data=tokens, seed=0).report.layers)
    small = compress(
        bert, 0.6, data=tokens, formats="tt_embedding", skip=["*.token_type_*", "*.position_*"], seed=0
    )
    assert type(small.bert.embeddings.word_embeddings) is TTEmbedding
    padding = bert.bert.embeddings.word_embeddings.padding_idx
    expected = bert.bert.embeddings.word_embeddings.weight[padding]
    assert torch.equal(small.bert.embeddings.word_embeddings(torch.tensor(padding)), expected)
    again = load(save(small, tmp_path))
    assert torch.equal(again(tokens).logits, small(tokens).logits)
    assert torch.allclose(to_dense(small)(tokens).logits, small(tokens).logits, atol=1e-4)
