"""Data hyper-cleaning with a convolutional network: two losses in PyTorch, on images of digits.

Half of the training labels are wrong. Each training image has a weight, sigmoid(x_e); the weights
are chosen so that the network that they train does well on a few images whose labels are right. See
hyper_cleaning_conv.toml.
"""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

import mpidbo

AGENTS, TRAIN, CLEAN = 4, 1000, 200

digits = load_digits()
rng = np.random.default_rng(0)
order = rng.permutation(len(digits.target))
images, truth = digits.images[order, None] / 16, digits.target[order]
labels = np.where(rng.random(len(truth)) < 0.5, rng.integers(10, size=len(truth)), truth)
train, clean, test = slice(TRAIN), slice(TRAIN, TRAIN + CLEAN), slice(TRAIN + CLEAN, None)

torch.manual_seed(0)  # every rank makes the same network
network = nn.Sequential(
    nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 10)
)


def f(x, y, batch):
    images, labels = batch
    return cross_entropy(y(images), labels)


def g(x, y, batch):
    images, labels, numbers = batch
    losses = cross_entropy(y(images), labels, reduction="none")
    return (torch.sigmoid(x[numbers]) * losses).mean() + 1e-3 * sum(
        (part**2).sum() for part in y.parameters()
    )


def metrics(x, y, batch):
    images, labels = batch
    return {"test_accuracy": (y(images).argmax(dim=1) == labels).double().mean()}


def shares(labels, *arrays):
    """Each agent's part of these arrays, in which few classes dominate."""
    return mpidbo.subsets(arrays, mpidbo.split(labels, AGENTS, "dirichlet", seed=0))


problem = mpidbo.from_torch(
    f,
    g,
    x0=torch.zeros(TRAIN),
    y0=network,
    data=shares(truth[train], images[train], labels[train], np.arange(TRAIN)),
    val_data=shares(truth[clean], images[clean], truth[clean]),
    batch=64,
    val_batch=20,
    test_data=lambda agent: (images[test][agent::AGENTS], truth[test][agent::AGENTS]),
    metrics=metrics,
)
