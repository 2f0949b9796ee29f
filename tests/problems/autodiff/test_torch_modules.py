"""Modules of PyTorch in a loss: parts, methods and containers have the parameters of the moment."""

import re
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'mpidbo[torch]'")

from torch import nn  # noqa: E402
from torch.nn.functional import scaled_dot_product_attention  # noqa: E402

import mpidbo  # noqa: E402
from mpidbo.problems import ORACLES  # noqa: E402
from mpidbo.problems.autodiff.modules import TrainedModule  # noqa: E402
from mpidbo.problems.autodiff.torch_vectors import TensorTree, TorchFramework  # noqa: E402
from support.runs import made  # noqa: E402

pytestmark = pytest.mark.torch
FEATURES = np.random.default_rng(0).standard_normal((10, 3))


class Helper:
    """Holds a module outside of the tree of modules."""

    def __init__(self, module):
        self.module = module


class Net(nn.Module):
    """A body, a head, and all the ways in which a module is used."""

    classes = 2

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 2)
        self.by_name = nn.ModuleDict({"a": nn.Linear(2, 2)})
        self.config = {"scale": 2.0}
        self.plain_list = [self.features, self.head]
        self.act = torch.tanh
        self.closed = lambda inputs: self.head(inputs)
        self.partial = partial(self.late, scale=3.0)
        self.helper = Helper(self.head)

    def late(self, inputs, scale=1.0):
        return scale * self.head(inputs)

    def pieces(self):
        yield self.features
        yield self.head

    @property
    def doubled(self):
        return 2 * self.head.weight

    def forward(self, inputs):
        return self.by_name["a"](self.head(self.norm(self.features(inputs))))


def both(change):
    """f and g of y, where `change(y, inputs)` is what the loss computes of the network."""

    def g(x, y, batch):
        outputs = change(y, batch)
        ridge = torch.exp(x).sum() * sum((part**2).sum() for part in y.parameters())
        return (outputs**2).mean() + (outputs**3).mean() / 10 + ridge

    return mpidbo.from_torch(
        lambda x, y, b: (change(y, b) ** 2).mean(), g, torch.zeros(1), Net(), [FEATURES] * 2
    )


# What a loss computes with parts and methods, all the same, and how tensors alone give it.
PLAIN = {
    "features": lambda p, z: torch.tanh(z @ p["features.0.weight"].T + p["features.0.bias"]),
    "head": lambda p, z: z @ p["head.weight"].T + p["head.bias"],
}
WAYS = {
    "parts": lambda y, z: y.head(y.features(z)),
    "parts of parts": lambda y, z: y.head(torch.tanh(y.features[0](z))),
    "a slice": lambda y, z: y.head(y.act(y.features[:1](z))),
    "in a loop": lambda y, z: y.head(in_turn(y.features, z)),
    "children": lambda y, z: y.head(in_turn(y.features.children(), z)),
    "a method": lambda y, z: y.late(y.features(z)),
    "a closure": lambda y, z: y.closed(y.features(z)),
    "a partial method": lambda y, z: y.partial(y.features(z)) / 3,
    "a generator": lambda y, z: in_turn(y.pieces(), z),
    "a plain list": lambda y, z: in_turn(y.plain_list, z),
    "a submodule by name": lambda y, z: y.get_submodule("head")(y.features(z)),
    "a parameter by name": lambda y, z: (
        y.features(z) @ y.get_parameter("head.weight").T + y["head.bias"]
    ),
    "a parameter": lambda y, z: y.features(z) @ y.head.weight.T + y.head.bias,
    "a property": lambda y, z: y.features(z) @ y.doubled.T / 2 + y.head.bias,
    "parameters of a part": lambda y, z: nn.functional.linear(y.features(z), *y.head.parameters()),
    "names of a part": lambda y, z: nn.functional.linear(
        y.features(z), **dict(y.head.named_parameters())
    ),
    "state of a part": lambda y, z: nn.functional.linear(
        y.features(z), **{name: getattr(y.head, name) for name in y.head.state_dict()}
    ),
    "items": lambda y, z: dict(y.named_children())["head"](y.features(z)),
    "named modules": lambda y, z: dict(y.named_modules())["head"](y.features(z)),
}


def in_turn(layers, z):
    for layer in layers:
        z = layer(z)
    return z


class Tensors:
    """Tensors by name that look like a network to a loss."""

    def __init__(self, tensors):
        self.tensors = tensors

    def parameters(self):
        return iter(self.tensors.values())


@pytest.mark.parametrize("way", WAYS)
def test_parts_and_methods_have_the_parameters_of_the_moment(way):
    """All oracles are those of the same loss of a dict of tensors."""
    change, net = WAYS[way], Net()
    plain = both(lambda y, z: PLAIN["head"](y.tensors, PLAIN["features"](y.tensors, z)))
    given = plain.given
    tensors = {name: part.detach().clone() for name, part in net.named_parameters()}
    expected = mpidbo.from_torch(
        lambda x, y, b: given.f(x, Tensors(y), b),
        lambda x, y, b: given.g(x, Tensors(y), b),
        torch.zeros(1),
        tensors,
        [FEATURES] * 2,
    )
    ours, theirs = made(both(change)), made(expected)
    (x, y), rng = theirs.start(), np.random.default_rng(1)
    y, v = y + rng.standard_normal(y.size) / 3, rng.standard_normal(y.size)
    for oracle in ORACLES:
        point = (x, y, v) if oracle in ("g_yy", "g_xy") else (x, y)
        found, wanted = (np.asarray(getattr(one, oracle)(*point, None)) for one in (ours, theirs))
        assert np.allclose(found, wanted, rtol=1e-12, atol=1e-13), oracle


class Positive(nn.Module):
    """A parameter behind a property of its name."""

    def __init__(self):
        super().__init__()
        self._parameters["scale"] = nn.Parameter(torch.zeros(3))

    @property
    def scale(self):
        return self._parameters["scale"].exp()


def test_a_parameter_is_there_without_its_module(monkeypatch):
    """What a module has in its place, such as a property, is not."""
    framework = TorchFramework(np, np.dtype(np.float64))
    tree = TensorTree([nn.Linear(3, 1), Positive()], "y0", framework)
    parts = [torch.full(shape, 2.0) for shape in tree.shapes]
    line, positive = tree.build(parts)
    assert torch.equal(positive.scale, torch.full((3,), 2.0).exp())
    monkeypatch.delattr(TrainedModule, "with_parameters")
    assert line.weight is parts[0] and line.bias is parts[1]


def test_what_is_no_module_is_as_it_is():
    seen = {}

    def look(y, z):
        seen.update(
            config=y.config,
            classes=y.classes,
            training=y.training,
            more=hasattr(y, "more"),
            names=list(y.by_name),
            len=len(y.features),
            has="a" in y.by_name,
            text=repr(y.head),
            bool=bool(y),
        )
        return y(z)

    made(both(look))
    assert seen == {
        "config": {"scale": 2.0},
        "classes": 2,
        "training": True,
        "more": False,
        "names": ["a"],
        "len": 2,
        "has": True,
        "text": "Linear(in_features=4, out_features=2, bias=True)",
        "bool": True,
    }


@pytest.mark.parametrize(
    ("container", "change"),
    [
        (
            lambda: nn.ModuleDict({"a": nn.Linear(3, 4), "b": nn.Linear(4, 1)}),
            lambda y, z: y["b"](torch.tanh(y["a"](z))),
        ),
        (
            lambda: nn.ModuleDict({"a": nn.Linear(3, 4), "b": nn.Linear(4, 1)}),
            lambda y, z: in_turn((layer for _, layer in y.items()), z),
        ),
        (
            lambda: nn.ModuleDict({"a": nn.Linear(3, 4), "b": nn.Linear(4, 1)}),
            lambda y, z: in_turn(y.values(), z),
        ),
        (
            lambda: nn.ModuleList([nn.Linear(3, 4), nn.Linear(4, 1)]),
            lambda y, z: y[1](torch.tanh(y[0](z))),
        ),
        (lambda: nn.ModuleList([nn.Linear(3, 4), nn.Linear(4, 1)]), lambda y, z: in_turn(y, z)),
        (lambda: nn.ModuleDict({"a": nn.ModuleList([nn.Linear(3, 1)])}), lambda y, z: y.a[0](z)),
        (lambda: nn.ParameterList([torch.ones(3), torch.ones(1)]), lambda y, z: z @ y[0] + y[1]),
        (lambda: nn.ParameterDict({"w": torch.ones(3)}), lambda y, z: z @ y["w"]),
        (lambda: [nn.Linear(3, 4), {"b": nn.Linear(4, 1)}], lambda y, z: y[1]["b"](y[0](z))),
        (
            lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 1)),
            lambda y, z: z @ y.weight.T,
        ),
        (lambda: nn.GRU(3, 2), lambda y, z: y(z)[0]),
    ],
)
@pytest.mark.parametrize("level", ["x", "y"])
def test_containers(container, change, level):
    """Gradients are those of central differences: no part of the module is left at its start."""

    def g(x, y, batch):
        return (change(x if level == "x" else y, batch) ** 2).mean() * (
            1 if level == "y" else y @ y
        )

    torch.manual_seed(1)
    tree = container()
    start = {"x0": tree, "y0": torch.ones(2)} if level == "x" else {"x0": torch.ones(1), "y0": tree}
    problem = made(
        mpidbo.from_torch(
            lambda x, y, b: g(x, y, b) * (1 if level == "x" else x.sum()),
            g,
            **start,
            data=[FEATURES] * 2,
        )
    )
    rng = np.random.default_rng(2)
    point = dict(
        zip(
            "xy",
            (part + rng.standard_normal(part.size) / 4 for part in problem.start()),
            strict=True,
        )
    )
    d = rng.standard_normal(point[level].size) * 1e-6
    slope = getattr(problem, f"g_{level}")(**point, sample=None)
    ends = [problem.g(**{**point, level: point[level] + sign * d}, sample=None) for sign in (1, -1)]
    assert abs(slope).min() > 0 or isinstance(tree, nn.GRU | nn.Module)
    assert ends[0] - ends[1] == pytest.approx(2 * slope @ d, rel=1e-6)


def test_shared_parameters_are_one():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
            self.decoder.weight = self.encoder.weight

    def g(x, y, batch):
        assert [part.shape for part in y.decoder.parameters()] == [
            (3, 3)
        ] and y.decoder.weight is y.encoder.weight
        return (y.decoder(y.encoder(batch)) ** 2).mean() * torch.exp(x).sum()

    one = made(mpidbo.from_torch(g, g, torch.zeros(1), Tied(), [FEATURES] * 2))
    x, y = one.start()
    W = y.reshape(3, 3)
    assert one.dims == (1, 9) and one.g(x, y, None) == pytest.approx(
        ((FEATURES @ W.T @ W.T) ** 2).mean(), rel=1e-12
    )


def test_one_module_at_both_levels():
    """x and y may start from one module, and are two."""
    net = nn.Linear(3, 1)

    def g(x, y, batch):
        return (
            ((x.bias - y.bias) ** 2).sum()
            + ((x(batch) - y(batch)) ** 2).mean()
            + (y.weight**2).sum()
        )

    one = made(mpidbo.from_torch(lambda x, y, b: (y(b) ** 2).mean(), g, net, net, [FEATURES] * 2))
    x, y = one.start()
    assert one.g(x, y + 1, None) > 1 and np.array_equal(one.g_x(x, y, None), np.zeros(4))


def test_buffers_and_modes_are_those_of_the_start():
    """At every call; what a loss sets by eval() holds until it returns."""
    net, modes = Net(), []
    net.norm(torch.randn(20, 4))
    before = {name: part.clone() for name, part in net.state_dict().items()}

    def change(y, z):
        modes.append(y.norm.training)
        first = y.norm(y.features(z)).sum() + y.norm.running_mean.sum()
        y.norm.eval()
        modes.append(y.norm.training)
        frozen = y.norm(y.features(z))
        y.train()
        assert y.norm.training
        return y.head(frozen) * first

    problem = made(
        mpidbo.from_torch(
            lambda x, y, b: (change(y, b) ** 2).mean(),
            lambda x, y, b: (change(y, b) ** 2).mean() + x @ x,
            torch.zeros(1),
            net,
            [FEATURES] * 2,
        )
    )
    x, y = problem.start()
    values = {problem.f(x, y, None) for _ in range(3)}
    assert len(values) == 1 and modes == [True, False] * (len(modes) // 2)
    assert net.norm.training and all(
        torch.equal(part, before[name]) for name, part in net.state_dict().items()
    )


def test_the_module_is_as_before_after_a_mistake():
    net = Net()
    before = dict(net.named_parameters())

    def g(x, y, batch):
        y.eval()
        return y.head(batch)

    with pytest.raises(
        mpidbo.UserError, match=r"test_torch_modules.py, line \d+: RuntimeError: mat1 and mat2"
    ):
        made(mpidbo.from_torch(g, g, torch.zeros(1), net, [FEATURES] * 2))
    assert net.training and all(part is before[name] for name, part in net.named_parameters())


def test_tensors_that_a_module_replaces_are_those_of_the_start():
    """It counts its calls in a buffer, and has one buffer in two places."""

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))
            self.register_buffer("count", torch.zeros(()))
            self.part = nn.Module()
            self.part.register_buffer("same", self.count)

        def forward(self, inputs):
            assert self.part.same is self.count
            self.count = self.part.same = self.count + 1
            return (self.count * (inputs @ self.weight)).sum()

    def g(x, y, batch):
        return y(batch) ** 2 + x @ x + (y.count + y.part.same) * (y.weight**2).sum()

    net = Counting()
    before = net.count
    one = made(mpidbo.from_torch(g, g, torch.ones(1), net, [FEATURES] * 2))
    x, y = one.start()
    assert [one.g(x, y, None) for _ in range(3)] == [pytest.approx(FEATURES.sum() ** 2 + 1)] * 3
    assert net.count is net.part.same is before and before == 0


def attention(y, z):
    return scaled_dot_product_attention(*[(z @ y.features[0].weight.T)[None, None]] * 3).sum()


LAST = {
    "lasting": (
        lambda y, z: y.double()(z),
        "TypeError: double would change Net for later calls; do that to the module before "
        "from_torch",
    ),
    "registering": (
        lambda y, z: y.head.register_buffer("a", z),
        "TypeError: register_buffer would change Linear for later calls",
    ),
    "setting": (
        lambda y, z: setattr(y, "scale", 1),
        "TypeError: setting scale would change Net for later calls",
    ),
    "a helper": (
        lambda y, z: y.helper.module(z),
        "TypeError: Helper in Net holds modules out of sight of a loss; use it in a method of the "
        "module",
    ),
    "no such part": (
        lambda y, z: y.tail(z),
        "AttributeError: 'Net' object has no attribute 'tail'",
    ),
    "in place": (
        lambda y, z: y.head.weight.add_(1),
        "RuntimeError: a leaf Variable that requires grad is being used in an in-place",
    ),
    "attention": (
        attention,
        "compute it under torch.nn.attention.sdpa_kernel(SDPBackend.MATH), or choose a method "
        "without second",
    ),
    "compiled": (
        lambda y, z: torch.compile(y.features, backend="aot_eager")(z),
        "give the module and the loss as they are, not compiled (eager), or choose a method "
        "without second derivatives",
    ),
}


@pytest.mark.parametrize("name", LAST)
def test_mistakes_in_a_loss(name):
    change, sentence = LAST[name]
    if name == "compiled":
        change = lambda y, z: compiled(y.features[0].weight)  # noqa: E731
        compiled = torch.compile(lambda w: (w**3).sum(), backend="aot_eager")
    with pytest.raises(mpidbo.UserError, match=re.escape(sentence)) as caught:
        mpidbo.solve(both(change), "sparkle", iterations=1)
    assert len(str(caught.value)) < 1000 and re.match(
        r"[fg]: agent \d: .*test_torch_modules.py, line \d+: ", str(caught.value)
    )


def test_a_first_order_method_needs_no_second_derivative():
    for change in (attention, WAYS["parts"]):
        found = mpidbo.solve(
            both(change),
            {"name": "f2sa"},
            iterations=2,
            steps={"alpha": 0.01, "beta": 0.01, "gamma": 0.01},
        )
        assert np.isfinite(found.y).all()


def lazy():
    return nn.Sequential(nn.LazyLinear(3))


def complex_part():
    net = nn.Linear(3, 1)
    net.register_parameter("phase", nn.Parameter(torch.ones(2, dtype=torch.complex64)))
    return net


STARTS = {
    "lazy": (lazy, "y0: parameter 0.weight of Sequential has no shape yet; call the module once"),
    "meta": (
        lambda: nn.Linear(3, 1, device="meta"),
        "y0: parameter weight of Linear has no values (device meta)",
    ),
    "scripted": (
        lambda: torch.jit.script(nn.Linear(3, 1)),
        "y0: RecursiveScriptModule is scripted",
    ),
    "complex": (
        complex_part,
        "y0: parameter phase of Linear is torch.complex64; give its real and imaginary parts",
    ),
    "meta tensor": (
        lambda: torch.ones(3, device="meta"),
        "y0: a tensor without numbers of its own (torch.float32 on meta)",
    ),
    "sparse tensor": (
        lambda: torch.eye(3).to_sparse(),
        "y0: a sparse tensor (torch.sparse_coo); make it dense by .to_dense()",
    ),
    "complex tensor": (
        lambda: {"a": torch.ones(3, dtype=torch.complex64)},
        "y0: a part of shape (3,) is torch.complex64, which has no",
    ),
    "bool": (
        lambda: [True],
        "y0: a part of shape () is bool, which has no derivative; give floats",
    ),
    "texts": (lambda: np.array(["a"]), "y0: dtype <U1 is not an array of numbers"),
}


@pytest.mark.filterwarnings("ignore:Lazy modules", "ignore:.torch.jit.script", "ignore:.*jit")
@pytest.mark.parametrize("name", STARTS)
def test_starts_without_numbers(name):
    start, sentence = STARTS[name]
    problem = mpidbo.from_torch(
        lambda x, y, b: x.sum(), lambda x, y, b: x.sum(), torch.zeros(1), start(), [FEATURES]
    )
    with pytest.raises(mpidbo.UserError, match=re.escape(sentence)):
        made(problem, n=1)


@pytest.mark.parametrize("sparse", [True, False])
def test_sparse_gradients_of_an_embedding(sparse):
    """They are the dense ones, products with second derivatives included."""
    words = np.array([0, 2, 2, 4])

    def g(x, y, batch):
        return (y(batch) ** 4).sum() * torch.exp(x).sum()

    def of(sparse):
        torch.manual_seed(0)
        return made(
            mpidbo.from_torch(g, g, torch.zeros(1), nn.Embedding(5, 2, sparse=sparse), [words] * 2)
        )

    one, other = of(sparse), of(False)
    (x, y), v = one.start(), np.arange(10.0)
    for name in ORACLES:
        point = (x, y, v) if name in ("g_yy", "g_xy") else (x, y)
        assert np.array_equal(
            getattr(one, name)(*point, None), getattr(other, name)(*point, None)
        ), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_modules_of_other_types_have_the_type_of_the_run(dtype):
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).to(dtype)
    one = made(
        mpidbo.from_torch(
            lambda x, y, b: (y(b) ** 2).mean() * x.sum(),
            lambda x, y, b: (y(b) ** 2).mean() * x.sum(),
            torch.ones(1, dtype=dtype),
            net,
            [FEATURES] * 2,
        )
    )
    x, y = one.start()
    assert (
        x.dtype == np.float64
        and one.g_y(x, y, None).dtype == np.float64
        and net[0].weight.dtype == dtype
    )


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_gradients_that_are_switched_off(context):
    """Whatever the program around it has set, the problem takes its derivatives."""

    def solved():
        return mpidbo.solve(both(WAYS["parts"]), "sparkle", iterations=3).y

    expected = solved()
    with context():
        found = solved()
        assert not torch.is_grad_enabled()
    assert np.array_equal(found, expected)


def test_a_loss_without_gradient():
    with pytest.raises(
        mpidbo.UserError, match=r"g: does not depend on y, .* without no_grad, detach or item"
    ):
        made(
            mpidbo.from_torch(
                lambda x, y, b: x.sum(),
                torch.no_grad()(lambda x, y, b: y @ y),
                torch.zeros(1),
                torch.ones(2),
                [None] * 2,
            )
        )


def test_a_mistake_during_the_run_is_a_sentence():
    """With file and line, as at the start; of losses, metrics, project_x and data alike."""

    def late(x, y, batch):
        if float(x.detach().sum()) != 0:
            raise ValueError("too late\n" * 10**4)
        return y @ y + x.sum() * y.sum()

    def problem(
        f=lambda x, y, b: y.sum() + (x @ x), g=lambda x, y, b: y @ y + x.sum() * y.sum(), **more
    ):
        return mpidbo.from_torch(f, g, torch.zeros(1), torch.ones(2), [None] * 2, **more)

    measured = lambda x, y, b: {"a": late(x, y, b)}  # noqa: E731
    for cls, name in (
        (problem(f=late), "f"),
        (problem(g=late), "g"),
        (problem(metrics=measured), "metrics"),
        (problem(project_x=lambda x: x + 0 * late(x, torch.ones(2), None)), "project_x"),
    ):
        with pytest.raises(
            mpidbo.UserError,
            match=rf"{name}: agent \d.*test_torch_modules.py, line \d+: ValueError: too late",
        ) as caught:
            mpidbo.solve(cls, "sparkle-gt", iterations=5, evaluate_every=1)
        assert len(str(caught.value)) < 1000


def test_a_projection_may_return_its_module():
    one = made(
        mpidbo.from_torch(
            lambda x, y, b: x(b).mean(),
            lambda x, y, b: ((x(b) - y) ** 2).mean(),
            nn.Linear(3, 1),
            torch.ones(1),
            [FEATURES] * 2,
            project_x=lambda x: x,
        )
    )
    x, _ = one.start()
    assert np.array_equal(one.project_x(x), x)
