"""A small convolutional network on random images, for test_torch.py: `losses_torch.py:problem`."""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import mpidbo

AGENTS, SAMPLES, CLASSES = 4, 48, 3
rng = np.random.default_rng(0)
images, labels = rng.standard_normal((SAMPLES, 1, 6, 6)), rng.integers(CLASSES, size=SAMPLES)
images += labels[:, None, None, None]
numbers = np.arange(SAMPLES)

torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, CLASSES)
)


class Validation(torch.utils.data.Dataset):
    """One agent's clean images, a sample at a time."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return {"image": torch.as_tensor(images[self.rows[i]]), "label": int(labels[self.rows[i]])}


def f(x, y, batch):
    return cross_entropy(y(batch["image"]), batch["label"])


def g(x, y, batch):
    images, labels, number = batch
    ridge = torch.exp(x["ridge"][0]) * sum((part**2).sum() for part in y.parameters())
    return (
        torch.sigmoid(x["weights"][number]) * cross_entropy(y(images), labels, reduction="none")
    ).mean() + ridge


def metrics(x, y, batch):
    return {"accuracy": (y(batch["image"]).argmax(1) == batch["label"]).double().mean()}


def project_x(x):
    return {"weights": x["weights"].clamp(-1, 1), "ridge": x["ridge"]}


start = {"weights": torch.zeros(SAMPLES), "ridge": [torch.tensor(-5.0)]}
parts = mpidbo.split(labels, AGENTS, "dirichlet", seed=1)
problem = mpidbo.from_torch(
    f,
    g,
    start,
    net,
    mpidbo.subsets((images, labels, numbers), parts),
    batch=3,
    val_data=lambda agent: Validation(parts[agent]),
    metrics=metrics,
    project_x=project_x,
    steps={"alpha": 0.5, "beta": 0.05, "gamma": 0.05},
)
