"""The batched scan and trees against plain products, and their backward passes against finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwise.qml.protein.boxes.scanning import scan
from bondwise.qml.protein.boxes.tree import contract_tree


def problem(seed, batch=3, steps=6, size=4, words=5):
    generator = torch.Generator().manual_seed(seed)
    matrices = torch.randn(words, size, size, generator=generator, dtype=torch.float64)
    tokens = torch.randint(-1, words, (batch, steps), generator=generator)
    start = torch.randn(batch, size, generator=generator, dtype=torch.float64)
    return matrices, tokens, start / start.norm(dim=1, keepdim=True)


def product(matrices, tokens, start):
    state = start
    for token in tokens:
        state = matrices[token] @ state if token >= 0 else state
    return state


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 9), rescale=st.booleans())
def test_equals_the_plain_product(seed, steps, rescale):
    matrices, tokens, start = problem(seed, steps=steps)
    states, log = scan(matrices, tokens, start, rescale=rescale)
    for row in range(3):
        exact = product(matrices, tokens[row], start[row])
        np.testing.assert_allclose(states[row, -1] * log[row].exp(), exact, rtol=1e-9, atol=1e-12)
        assert not rescale or states[row].norm(dim=1).sub(1).abs().max() < 1e-12


@pytest.mark.parametrize("rescale", [False, True])
def test_gradient(rescale):
    matrices, tokens, start = problem(1)
    matrices.requires_grad_()
    raw = start.clone().requires_grad_()

    def output(matrices, raw):
        start = raw / raw.norm(dim=1, keepdim=True) if rescale else raw
        states, log = scan(matrices, tokens, start, rescale=rescale)
        return (states[:, -1] if rescale else states), log

    assert torch.autograd.gradcheck(output, (matrices, raw))


def test_compiled_loops_and_products_agree():
    found = []
    for compiled in (True, False):
        matrices, tokens, start = problem(2)
        matrices.requires_grad_()
        start.requires_grad_()
        states, log = scan(matrices, tokens, start, rescale=True, compiled=compiled)
        (states[:, -1].sum() + log.pow(2).sum()).backward()
        found.append((states.detach(), log.detach(), matrices.grad, start.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_two_thousand_steps_neither_vanish_nor_overflow():
    matrices, tokens, start = problem(3, batch=2, steps=2000)
    matrices = (0.01 * matrices).float().requires_grad_()
    states, log = scan(matrices, tokens, start.float(), rescale=True)
    assert (log < -1000).all()
    log.sum().backward()
    assert torch.isfinite(states).all()
    assert torch.isfinite(matrices.grad).all()
    # by homogeneity, the sum of gradient times matrix counts the steps
    steps = (tokens >= 0).sum()
    assert (matrices.grad * matrices).sum().item() == pytest.approx(steps.item(), rel=1e-3)


def by_recursion(nodes, merge, level=0):
    if len(nodes) == 1:
        return nodes[0]
    parents = [merge(level, left, right) for left, right in zip(nodes[::2], nodes[1::2], strict=False)]
    return by_recursion(parents + (nodes[-1:] if len(nodes) % 2 else []), merge, level + 1)


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, 13), min_size=1, max_size=4), rescale=st.booleans())
def test_trees_equal_recursion(lengths, rescale):
    generator = torch.Generator().manual_seed(len(lengths))
    boxes = torch.randn(5, 3, 3, 3, generator=generator, dtype=torch.float64)
    leaves = torch.randn(len(lengths), max(lengths), 3, generator=generator, dtype=torch.float64)
    leaves /= leaves.norm(dim=-1, keepdim=True)

    def merge(level, left, right):
        return torch.einsum("cab,...a,...b->...c", boxes[level], left, right)

    roots, log = contract_tree(leaves, torch.tensor(lengths), merge, rescale=rescale)
    for row, length in enumerate(lengths):
        exact = by_recursion(list(leaves[row, :length]), merge)
        torch.testing.assert_close(roots[row] * log[row].exp(), exact)


def test_gradient_of_trees():
    leaves = torch.randn(2, 5, 2, dtype=torch.float64, requires_grad=True)
    box = torch.randn(2, 2, 2, dtype=torch.float64, requires_grad=True)

    def output(leaves, box):
        def merge(level, left, right):
            return torch.einsum("cab,...a,...b->...c", box, left, right)

        return contract_tree(leaves, torch.tensor([5, 3]), merge, rescale=True)

    assert torch.autograd.gradcheck(output, (leaves, box))
