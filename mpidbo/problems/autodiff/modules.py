"""Modules of PyTorch as a loss receives them: with the current parameters in all parts."""

from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from contextlib import contextmanager
from typing import Any

import torch

from ...errors import UserError
from .arrays import brief
from .nested import mapped

LASTING_METHODS = frozenset(
    "apply bfloat16 compile cpu cuda double float half load_state_dict requires_grad_ "
    "share_memory to to_empty type zero_grad add_module".split()
)
"""Methods of a module that change it for later calls."""


class TrainedModule:
    """A module of x0 or y0: its trained parameters, and its other tensors at the start.

    Parameters
    ----------
    module : nn.Module
        The user's module.
    name : str
        "x0" or "y0", for messages.
    framework : TorchFramework
        Device and type of the tensors.

    Raises
    ------
    UserError
        There is no parameter to train, or one without a shape or without real numbers, or the
        module cannot take other parameters.
    """

    def __init__(self, module: Any, name: str, framework: Any) -> None:
        kind = type(module).__name__
        if isinstance(module, torch.jit.ScriptModule):
            raise UserError(
                f"{name}: {kind} is scripted and cannot take other parameters; give the module "
                "itself"
            )
        parameters = dict(module.named_parameters())
        for key, part in parameters.items():
            if isinstance(part, torch.nn.parameter.UninitializedTensorMixin):
                raise UserError(
                    f"{name}: parameter {key} of {kind} has no shape yet; call the module once on "
                    "some samples before from_torch, or give its sizes"
                )
            if part.device.type == "meta":
                raise UserError(
                    f"{name}: parameter {key} of {kind} has no values (device meta); make the "
                    "module on the CPU"
                )
        self.module = module
        self.trained = {key: part for key, part in parameters.items() if part.requires_grad}
        if not self.trained:
            raise UserError(
                f"{name}: no parameter of {kind} requires grad; give one that has something to "
                "train"
            )
        for key, part in self.trained.items():
            if part.is_complex():
                raise UserError(
                    f"{name}: parameter {key} of {kind} is {part.dtype}; give its real and "
                    "imaginary parts as floats"
                )
        self.frozen = {
            key: framework.tensor(part)
            for key, part in parameters.items()
            if key not in self.trained
        }
        self.buffers = {key: framework.tensor(part).clone() for key, part in module.named_buffers()}
        self.places = _places(module)
        self.keys = {(id(owner), name): key for owner, name, key in self.places}

    def with_parameters(self, trained: Mapping[str, Any], action: Callable[[], Any]) -> Any:
        """What the action returns while the module has these parameters.

        Its other tensors are those of the start; a batch norm writes into its buffers, which are
        copies.
        """
        buffers = {key: part.clone() for key, part in self.buffers.items()}
        tensors = {**buffers, **self.frozen, **trained}
        before = [owner[name] for owner, name, _ in self.places]
        try:
            for owner, name, key in self.places:
                owner[name] = tensors[key]
            return action()
        finally:
            for (owner, name, _), tensor in zip(self.places, before, strict=True):
                owner[name] = tensor


def _places(module: Any) -> list[tuple[dict[str, Any], str, str]]:
    """Where a module keeps its tensors: a dict of one of its parts, the name there, and the key.

    The key is the name of the tensor in `named_parameters` or `named_buffers`, which have a shared
    tensor once; here it has all its places. `torch.func.functional_call` finds them again at each
    call, which takes longer than a small module itself.
    """
    named = (*module.named_parameters(), *module.named_buffers())
    keys = {id(tensor): key for key, tensor in named}
    return [
        (owner, name, keys[id(tensor)])
        for part in module.modules()
        for owner in (part._parameters, part._buffers)
        for name, tensor in owner.items()
        if tensor is not None
    ]


class Listed(list[Any]):
    """The items of an iterator, read to its end while the module had the current parameters."""


class BoundModule:
    """A module with the current parameters, as a loss receives it and uses it like the module.

    `parameters()` and `named_parameters()` are those that are trained, `net["0.weight"]` is one of
    them; `net.head(inputs)`, `net.head.weight`, `net[0]`, and methods of your own work as in the
    module. Buffers, and parameters that require no gradient, are the module's own, at every call as
    they were at the start. `train()` and `eval()` last until the loss returns.

    Parameters
    ----------
    trained_module : TrainedModule
        The module of x0 or y0 to which this one belongs.
    trained : dict of str to tensor
        Its current parameters, by name.
    module : nn.Module, optional
        A part of it. Default: the module itself.
    modes : dict of nn.Module to bool, optional
        Parts that were put into training mode (True) or evaluation mode (False).
    """

    __slots__ = ("_modes", "_module", "_trained", "_trained_module")

    def __init__(
        self,
        trained_module: TrainedModule,
        trained: Mapping[str, Any],
        module: Any = None,
        modes: dict[Any, bool] | None = None,
    ) -> None:
        attributes = {
            "_trained_module": trained_module,
            "_trained": trained,
            "_module": trained_module.module if module is None else module,
            "_modes": {} if modes is None else modes,
        }
        for name, value in attributes.items():
            object.__setattr__(self, name, value)  # since this class's own refuses all changes

    def __call__(self, *inputs: Any, **more: Any) -> Any:
        return self._with_parameters(lambda: self._module(*inputs, **more))

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        return (part for _, part in self.named_parameters(recurse=recurse))

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Any]]:
        if self._module is self._trained_module.module and recurse and not prefix:
            return iter(self._trained.items())
        mine = {id(part) for part in self._trained.values()}
        found = self._with_parameters(
            lambda: self._module.named_parameters(prefix=prefix, recurse=recurse)
        )
        return iter([(name, part) for name, part in found if id(part) in mine])

    def train(self, mode: bool = True) -> "BoundModule":
        self._modes.pop(self._module, None)  # the last one called wins
        self._modes[self._module] = mode
        return self

    def eval(self) -> "BoundModule":
        return self.train(False)

    def get_parameter(self, target: str) -> Any:
        prefix, _, name = target.rpartition(".")
        return getattr(self.get_submodule(prefix), name)

    def __getitem__(self, key: Any) -> Any:
        if (
            isinstance(key, str)
            and key in self._trained
            and self._module is self._trained_module.module
        ):
            return self._trained[key]
        return self._bound(lambda: self._module[key])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in self.__slots__:
            raise AttributeError(name)
        if name in LASTING_METHODS or name.startswith("register_"):
            if not hasattr(self._module, name):
                raise AttributeError(name)
            raise TypeError(f"{name} would change {type(self._module).__name__} for later calls")
        module, trained_module = self._module, self._trained_module
        key = trained_module.keys.get((id(module._parameters), name))
        if key in self._trained and not hasattr(type(module), name):
            return self._trained[key]  # what the module would return, which it need not hold
        return self._bound(lambda: getattr(module, name))

    def __setattr__(self, name: str, value: Any) -> None:
        kind = type(self._module).__name__
        raise TypeError(f"setting {name} would change {kind} for later calls")

    def __len__(self) -> int:
        return len(self._module)

    def __bool__(self) -> bool:
        return True  # a module is true, also one without a length or of length 0

    def __iter__(self) -> Iterator[Any]:
        return iter(self._bound(lambda: iter(self._module)))

    def __contains__(self, key: Any) -> bool:
        return key in self._module

    def __repr__(self) -> str:
        return repr(self._module)

    def _with_parameters(self, action: Callable[[], Any]) -> Any:
        """What the action returns while the module has the current parameters."""

        def listed() -> Any:
            found = action()
            return Listed(found) if isinstance(found, (Iterator, ItemsView, ValuesView)) else found

        trained_module: TrainedModule = self._trained_module
        if not self._modes:
            return trained_module.with_parameters(self._trained, listed)
        with _in_modes(trained_module.module, self._modes):
            return trained_module.with_parameters(self._trained, listed)

    def _bound(self, action: Callable[[], Any]) -> Any:
        """What the action returns; modules and functions in it have the current parameters."""
        return mapped(self._bind, self._with_parameters(action))

    def _bind(self, value: Any) -> Any:
        if isinstance(value, torch.nn.Module):
            return BoundModule(self._trained_module, self._trained, value, self._modes)
        if isinstance(value, (torch.Tensor, type, BoundModule)):
            return value
        if not callable(value):
            if any(
                isinstance(part, (torch.nn.Module, torch.nn.Parameter))
                for part in getattr(value, "__dict__", {}).values()
            ):
                kinds = brief(type(value).__name__, 60), type(self._module).__name__
                raise TypeError(f"{kinds[0]} in {kinds[1]} holds modules out of sight of a loss")
            return value

        def call(*inputs: Any, **more: Any) -> Any:
            found = self._bound(lambda: value(*inputs, **more))
            return iter(found) if isinstance(found, Listed) else found

        return call


@contextmanager
def _in_modes(module: Any, modes: Mapping[Any, bool]) -> Iterator[None]:
    """A block with parts of the module in training mode or not, and afterwards as before."""
    before = [(part, part.training) for part in module.modules()]
    try:
        for part, mode in modes.items():
            part.train(mode)
        yield
    finally:
        for part, mode in before:
            part.training = mode
