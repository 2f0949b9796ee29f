"""Weights of text sources for a small transformer, learned by four agents with a source each.

Agent i trains on source i with the weight softmax(x)_i, and all of them want the network y to do
well on held-out documentation, the upper loss:

    min_x  F(x) = (1/n) sum_i f_i(y*(x)),        y*(x) = argmin_y  sum_i softmax(x)_i L_i(y)

L_i is the mean cross-entropy of the next character in the text of source i. The sources are the
docstrings of NumPy, those of SciPy, those of Python with a third of the characters replaced, and
noise: the characters of all three in a random order. f_i is the cross-entropy on a quarter of the
validation text, other docstrings of NumPy and SciPy. See README.md.
"""

import ast
import math
import sysconfig
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, softmax

import mpidbo

SOURCES = ("numpy", "scipy", "python", "noise")
REPLACED = 1 / 3
"""The share of the characters of Python's docstrings that are replaced."""
FIRST, LAST = 32, 126
"""The printable characters of ASCII; a line break, and any other character, is a space."""
VOCABULARY = LAST - FIRST + 1
LEFT_OUT = {"tests", "test", "site-packages", "_build_utils"}


def docstrings(folder, length, skipped=0):
    """The docstrings of a folder's Python files, in the order of their names: `length` characters
    after the first `skipped`."""
    texts, total = [], 0
    for path in sorted(Path(folder).rglob("*.py")):
        if total >= skipped + length:
            break
        if LEFT_OUT & set(path.relative_to(folder).parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                text = " ".join((ast.get_docstring(node) or "").split()) + " "
                texts.append(text)
                total += len(text)
    return "".join(texts)[skipped : skipped + length]


def characters(text):
    """The numbers of a text's characters."""
    codes = np.frombuffer(text.encode("ascii", "replace"), np.uint8).astype(np.int64)
    return np.clip(codes, FIRST, LAST) - FIRST


@cache
def corpus(length, validation, test, seed):
    """(the text of each source, the validation text, the test text), as numbers of characters.

    Each process reads them once, when its first agent asks for its share.
    """
    rng = np.random.default_rng(seed)
    folders = [Path(find_spec(name).origin).parent for name in ("numpy", "scipy")]
    folders.append(Path(sysconfig.get_path("stdlib")))
    numpy, scipy, python = (characters(docstrings(folder, length)) for folder in folders)
    replaced = rng.random(len(python)) < REPLACED
    python = np.where(replaced, rng.integers(VOCABULARY, size=len(python)), python)
    noise = rng.permutation(np.concatenate([numpy, scipy, python]))[:length]
    held_out = [
        characters(docstrings(folder, validation + test, skipped=length)) for folder in folders[:2]
    ]
    target = np.concatenate([text[:validation] for text in held_out])
    unseen = np.concatenate([text[validation:] for text in held_out])
    return [numpy, scipy, python, noise], target, unseen


class Block(nn.Module):
    """A transformer's block: attention and a perceptron, each after a norm and beside a shortcut.

    Attention is written out: PyTorch's fused ones have no second derivative, which some methods
    need.
    """

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.attend, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, h):
        samples, length, width = h.shape
        q, k, v = (
            part.view(samples, length, self.heads, -1).transpose(1, 2)
            for part in self.attend(self.norms[0](h)).split(width, dim=2)
        )
        scores = q @ k.transpose(2, 3) / math.sqrt(width // self.heads)
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        mixed = scores.masked_fill(future, -torch.inf).softmax(dim=3) @ v
        h = h + self.project(mixed.transpose(1, 2).reshape(samples, length, width))
        return h + self.perceptron(self.norms[1](h))


class Transformer(nn.Module):
    """The logits of the next character after each character of a window."""

    def __init__(self, context, width, layers, heads):
        super().__init__()
        self.characters, self.places = nn.Embedding(VOCABULARY, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm, self.logits = nn.LayerNorm(width), nn.Linear(width, VOCABULARY)

    def forward(self, windows):
        h = self.characters(windows) + self.places.weight[: windows.shape[1]]
        return self.logits(self.norm(self.blocks(h)))


def loss(network, windows):
    """The mean cross-entropy, in nats, of each character given those before it in its window."""
    windows = windows.long()
    logits = network(windows[:, :-1])
    return cross_entropy(logits.reshape(-1, VOCABULARY), windows[:, 1:].reshape(-1))


def f(x, y, batch):
    return loss(y, batch)


def g(x, y, batch):
    windows, source = batch
    return len(SOURCES) * softmax(x, dim=0)[source] * loss(y, windows)


def metrics(x, y, batch):
    weights = softmax(x, dim=0)
    named = {f"weight_{name}": weights[i] for i, name in enumerate(SOURCES)}
    return {**named, "test_loss": loss(y, batch)}


def windows(text, context):
    """The text cut into rows of context + 1 characters."""
    rows = len(text) // (context + 1)
    return text[: rows * (context + 1)].reshape(rows, context + 1)


def problem_of(width=144, layers=4, heads=4, context=32, batch=4, seed=0, **lengths):
    """The problem, with a network of 1.0 million parameters by default.

    `lengths` are numbers of characters: `length` of each source, and `validation` and `test` of
    each of the two packages whose text is held out.
    """
    n = len(SOURCES)
    lengths = {"length": 16_000, "validation": 12_000, "test": 4_000, **lengths}

    def data(agent):
        texts, _, _ = corpus(**lengths, seed=seed)
        return windows(texts[agent], context), agent

    def val_data(agent):
        _, target, _ = corpus(**lengths, seed=seed)
        return windows(target, context)[agent::n]

    def test_data(agent):
        _, _, unseen = corpus(**lengths, seed=seed)
        return windows(unseen, context)[agent::n]

    torch.manual_seed(seed)  # every rank makes the same network
    network = Transformer(context, width, layers, heads)
    return mpidbo.from_torch(
        f,
        g,
        x0=torch.zeros(n),
        y0=network,
        data=data,
        val_data=val_data,
        test_data=test_data,
        batch=batch,
        metrics=metrics,
    )


problem = problem_of()
