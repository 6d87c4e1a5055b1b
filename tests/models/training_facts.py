"""What a network does in training, told without looking at the names of its modules and parameters.

Parameters are told apart by role and squeezed shape, so that a linear layer and a 1x1 convolution agree: weight, bias,
scale and shift (of a normalisation), prelu, and token (anything else, such as a gain).

    inventory and numbers of one training step   ``observe(network, images)``
    how the parameters start                      ``start_differences(recorded rows, network)``

Both are compared with facts that were recorded from the authors' code in the same form.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.models.shape_seeded import NORMS, _is_norm, _squeezed

BATCH_NORMS = (nn.modules.batchnorm._BatchNorm,)
PATHS = re.compile(r"drop_?path|stochastic_?depth|drop_?block", re.I)
RATES = ("drop_prob", "p", "prob", "rate", "drop_rate")  # what dropouts and drop paths call theirs

# What the dispatcher calls an activation, and what it is called here.
ACTIVATIONS = {
    name: name
    for name in ("relu", "gelu", "silu", "sigmoid", "tanh", "hardtanh", "leaky_relu", "elu", "hardswish", "mish")
} | {"_prelu_kernel": "prelu", "_softmax": "softmax", "_safe_softmax": "softmax", "hardsigmoid": "hardsigmoid"}

# Calls whose result is new, though they are given a tensor with a gradient.
FRESH = ("new_empty", "new_zeros", "new_ones", "empty_like", "zeros_like", "ones_like", "rand_like", "new_full")

Facts = dict[str, Any]
Row = list[Any]  # role, shape, parameters, mean of absolute means, standard deviation, kind of distribution
Outputs = Callable[[Any, Tensor], Iterable[Tensor]]


def squeezed(shape: Iterable[int]) -> str:
    return "x".join(map(str, _squeezed(shape)))


def roles(network: nn.Module) -> dict[str, str]:
    """What each parameter is, by its name; shared ones once."""
    found: dict[str, str] = {}
    seen: set[int] = set()
    for prefix, module in network.named_modules():
        for name, value in module.named_parameters(recurse=False):
            if id(value) not in seen:
                seen.add(id(value))
                found[f"{prefix}.{name}".lstrip(".")] = _role(module, name, value)
    return found


def _role(module: nn.Module, name: str, value: Tensor) -> str:
    if _is_norm(module):
        return {"weight": "scale", "bias": "shift"}.get(name, "token")
    if name == "bias":
        return "bias"
    if isinstance(module, nn.PReLU):
        return "prelu"
    return "weight" if name == "weight" and value.ndim >= 2 else "token"


def drop_rate(module: nn.Module) -> tuple[str, float] | None:
    """The kind of a dropout or drop path, and its probability."""
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return type(module).__name__, module.p
    if PATHS.search(type(module).__name__) and not list(module.children()):
        for name in RATES:
            if isinstance(rate := getattr(module, name, None), int | float):
                return "DropPath", float(rate)
    return None


# ---- one training step ----------------------------------------------------------------------------------------------


class _Ops(TorchDispatchMode):
    """Counts activations and random draws, however they are written.

    Draws of what to keep are replaced by dropping every third, the first included, so that the numbers of a step show
    where a dropout stands, and its rate by the scale of the rest.
    """

    def __init__(self) -> None:
        super().__init__()
        self.activations: Counter[tuple[str, str]] = Counter()
        self.draws: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.split("::")[-1].rstrip("_")
        if "scaled_dot_product" in name:
            self.activations["softmax", ""] += 1
        elif name in ACTIVATIONS:
            self.activations[ACTIVATIONS[name], _detail(name, args, kwargs)] += 1
        elif name == "bernoulli":
            self.draws[_noise(args[0].shape)] += 1
            kept = (torch.arange(args[0].numel(), device=args[0].device) % 3 > 0).view(args[0].shape)
            return args[0].copy_(kept) if func._schema.name.endswith("_") else kept.to(args[0].dtype)
        elif name in ("rand", "rand_like", "uniform", "native_dropout"):
            self.draws[_noise(args[0].shape if isinstance(args[0], Tensor) else args[0])] += 1
        return func(*args, **kwargs)


def _detail(name: str, args: Any, kwargs: Any) -> str:
    if name == "gelu":
        return str(kwargs.get("approximate", "none")).replace("none", "")
    if name == "leaky_relu":
        return f"{float(args[1] if len(args) > 1 else 0.01):g}"
    if name == "hardtanh":
        low, high = [*args[1:3], *(-1.0, 1.0)[len(args[1:3]) :]]
        return f"{float(low):g} {float(high):g}"
    return ""


def _noise(shape: Sequence[int]) -> str:
    if len(shape) > 1 and all(side == 1 for side in shape[1:]):
        return "per sample"
    return "per channel" if len(shape) > 2 and all(side == 1 for side in shape[2:]) else "per element"


class _Stops(TorchFunctionMode):
    """Counts calls that take a tensor with a gradient and give one without."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.is_floating_point() and not result.requires_grad:
            name = getattr(func, "__name__", str(func))
            if name not in FRESH and any(isinstance(value, Tensor) and value.requires_grad for value in args):
                self.found[name] += 1
        return result


@dataclass
class Step:
    """A forward pass in training mode: what was called, and what came out.

    Attributes:
        facts: the inventory, as it is recorded.
        outputs: logits, with their graph.
        network: what they came from.
    """

    facts: Facts
    outputs: list[Tensor]
    network: nn.Module

    def numbers(self) -> Facts:
        """Values of each output and which parameters its gradient does not reach, though another's does."""
        reached = [_reached(logits) for logits in self.outputs]
        parameters = dict(self.network.named_parameters())
        alive = {name for name in roles(self.network) if any(id(parameters[name]) in ids for ids in reached)}
        records = []
        for logits, ids in zip(self.outputs, reached, strict=True):
            flat = logits.detach().flatten()
            places = ((torch.arange(16) + 0.5) / 16 * len(flat)).long()
            missed = Counter(squeezed(parameters[name].shape) for name in alive if id(parameters[name]) not in ids)
            records.append(
                {
                    "shape": list(logits.shape),
                    "mean": float(flat.mean()),
                    "std": float(flat.std(correction=0)),
                    "samples": flat[places].tolist(),
                    "not_reached": dict(sorted(missed.items())),
                }
            )
        return {"outputs": records, "running": self.facts["running"]}

    def gradient_norms(self) -> dict[str, list[float]]:
        """Of the sum over outputs of their mean sigmoid, by role and shape, sorted.

        Below 1e-10 of the largest they count as zero: biases before a batch normalisation.
        """
        kinds, parameters = roles(self.network), dict(self.network.named_parameters())
        names = [name for name in kinds if parameters[name].requires_grad]
        score = torch.stack([logits.sigmoid().mean() for logits in self.outputs]).sum()
        found = torch.autograd.grad(score, [parameters[name] for name in names], allow_unused=True)
        norms = {name: float(value.norm()) for name, value in zip(names, found, strict=True) if value is not None}
        largest = max(norms.values(), default=0.0)
        table: dict[str, list[float]] = defaultdict(list)
        for name, norm in norms.items():
            table[f"{kinds[name]} {squeezed(parameters[name].shape)}"].append(norm if norm > 1e-10 * largest else 0.0)
        return {key: sorted(values) for key, values in sorted(table.items())}


def _reached(output: Tensor) -> set[int]:
    """The ids of the parameters to which the gradient of ``output`` flows."""
    found, seen, waiting = set(), set(), [output.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        waiting += [following for following, _ in node.next_functions]
    return found


def observe(network: nn.Module, images: Tensor, outputs: Outputs) -> Step:
    """Run ``outputs(network, images)`` once in training mode."""
    network.train()
    calls: Counter[nn.Module] = Counter()
    handles = [m.register_forward_hook(lambda module, *_: calls.update([module])) for m in network.modules()]
    ops, stops = _Ops(), _Stops()
    with stops, ops:
        maps = list(outputs(network, images))
    for handle in handles:
        handle.remove()
    rates: Counter[Any] = Counter()
    norms: Counter[Any] = Counter()
    prelus: Counter[Any] = Counter()
    running: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for module, times in calls.items():
        if (rate := drop_rate(module)) and rate[1] > 0:
            rates[rate[0], round(rate[1], 6)] += times
        if isinstance(module, NORMS):
            norms[_norm(module)] += 1
        if isinstance(module, nn.PReLU):
            prelus[(module.num_parameters,)] += 1
        if isinstance(module, BATCH_NORMS) and module.running_mean is not None and module.num_batches_tracked:
            running[module.num_features].append((float(module.running_mean.mean()), float(module.running_var.mean())))
    facts = {
        "dropouts": _table(rates),
        "random_draws": _table(Counter({(kind,): times for kind, times in ops.draws.items()})),
        "norms": _table(norms),
        "activations": _table(ops.activations),
        "prelus": _table(prelus),
        "stopped_gradients": _table(Counter({(name,): times for name, times in stops.found.items()})),
        "running": [
            [channels, len(pairs), *(sum(values) / len(pairs) for values in zip(*pairs, strict=True))]
            for channels, pairs in sorted(running.items())
        ],
    }
    return Step(facts, maps, network)


def _table(counter: Counter[Any]) -> list[Row]:
    return [[*key, times] for key, times in sorted(counter.items(), key=lambda item: str(item[0]))]


def _norm(module: Any) -> tuple[Any, ...]:
    if isinstance(module, nn.GroupNorm):
        return "GroupNorm", module.num_channels, f"{module.num_groups} groups", module.eps, module.affine, False
    if isinstance(module, nn.LayerNorm):
        size = math.prod(module.normalized_shape)
        return "LayerNorm", size, None, module.eps, module.elementwise_affine, False
    kind = "BatchNorm" if isinstance(module, BATCH_NORMS) else "InstanceNorm"
    return kind, module.num_features, module.momentum, module.eps, module.affine, module.track_running_stats


INVENTORY = {
    "dropouts": "dropout [kind, p]",
    "random_draws": "random draw",
    "norms": "normalisation [kind, channels, momentum, eps, affine, running statistics]",
    "activations": "activation [kind, parameters]",
    "prelus": "PReLU with this many slopes",
    "stopped_gradients": "stopped gradient",
}


def inventory_differences(recorded: Facts, facts: Facts) -> Iterator[str]:
    """A sentence for each kind of call whose number is another."""
    for key, title in INVENTORY.items():
        want, have = (
            {str([_plain(value) for value in row[:-1]]): row[-1] for row in side[key]} for side in (recorded, facts)
        )
        for call in sorted(want.keys() | have.keys()):
            if want.get(call, 0) != have.get(call, 0):
                yield f"{title} {call}: {want.get(call, 0)} expected, {have.get(call, 0)} found"


def _by_call(rows: Iterable[Row]) -> dict[str, int]:
    return {str([_plain(value) for value in row[:-1]]): row[-1] for row in rows}


def _plain(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def number_differences(recorded: Facts, step: Step, rtol: float = 1e-5) -> Iterator[str]:
    """A sentence for each output and running statistic that is another.

    Args:
        recorded: as :meth:`Step.numbers`.
        step: in float64.
        rtol: tolerance of the outputs, in their standard deviations; ten times that for the rest.
    """
    numbers = step.numbers()
    if len(recorded["outputs"]) != len(numbers["outputs"]):
        yield f"{len(recorded['outputs'])} outputs expected, {len(numbers['outputs'])} found"
        return
    for index, (want, have) in enumerate(zip(recorded["outputs"], numbers["outputs"], strict=True)):
        if want["shape"] != have["shape"]:
            yield f"output {index}: shape {want['shape']} expected, {have['shape']} found"
            continue
        values = [[*side["samples"], side["mean"], side["std"]] for side in (want, have)]
        gap = max(abs(a - b) for a, b in zip(*values, strict=True))
        if not gap <= 10 * rtol * want["std"] + rtol * abs(want["mean"]):
            yield f"output {index}: values differ by {gap:.3g} (std {want['std']:.3g})"
        if want.get("not_reached", {}) != have["not_reached"]:
            yield f"output {index}: its gradient misses {want.get('not_reached')} expected, {have['not_reached']} found"
    for want, have in zip_longest(recorded["running"], numbers["running"]):
        if want is None or have is None or want[:2] != have[:2] or not _close(want[2:], have[2:], 10 * rtol, 1e-7):
            yield f"running statistics [channels, layers, mean, variance]: {want} expected, {have} found"


def gradient_differences(recorded: dict[str, list[float]], step: Step, rtol: float = 1e-4) -> Iterator[str]:
    """A sentence for each role and shape whose gradients' norms are others."""
    norms = step.gradient_norms()
    floor = 1e-9 * max((max(values) for values in recorded.values()), default=0.0)
    for key in sorted(recorded.keys() | norms.keys()):
        want, have = recorded.get(key, []), norms.get(key, [])
        if len(want) != len(have):
            yield f"gradients of {key}: {len(want)} expected, {len(have)} found"
        elif not _close(want, have, rtol, floor):
            yield f"gradients of {key}: {want} expected, {have} found"


def _close(want: Sequence[float], have: Sequence[float], rtol: float, floor: float) -> bool:
    return all(abs(a - b) <= rtol * max(abs(a), abs(b)) + floor for a, b in zip(want, have, strict=True))


# ---- how parameters start -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Start:
    """Statistics of one parameter's values as the network was built."""

    std: float
    mean: float
    kurtosis: float
    peak: float  # the largest absolute value, in standard deviations
    size: int

    @classmethod
    def of(cls, parameter: Tensor) -> "_Start":
        values = parameter.detach().flatten()
        size = len(values)
        values = values[:: size // 2**16 | 1].double()  # of large ones, enough of them
        mean = float(values.mean())
        centred = values - mean
        std = float(centred.square().mean().sqrt())
        if std < 1e-12:
            return cls(0.0, mean, 0.0, 0.0, size)
        return cls(std, mean, float(centred.pow(4).mean()) / std**4, float(values.abs().max()) / std, size)


def start_differences(
    recorded: dict[str, list[Row]], network: nn.Module, encoder: Sequence[nn.Module] = ()
) -> Iterator[str]:
    """A sentence for each role and shape whose parameters do not start as recorded.

    Args:
        recorded: rows of the parts "encoder" and "decoder": role, shape, number of parameters, mean of absolute means,
            standard deviation over several constructions, and the kind of distribution.
        network: freshly built.
        encoder: the modules that make the part "encoder".
    """
    inside = {id(parameter) for module in encoder for parameter in module.parameters()}
    parameters, found = dict(network.named_parameters()), defaultdict(list)
    for name, role in roles(network).items():
        part = "encoder" if id(parameters[name]) in inside else "decoder"
        found[part, role, squeezed(parameters[name].shape)].append(_Start.of(parameters[name]))
    wanted = defaultdict(list)
    for part, rows in recorded.items():
        for role, shape, *row in rows:
            wanted[part, role, shape].append(row)
    for key in sorted(wanted.keys() | found.keys()):
        where = f"start of {key[1]} {key[2]} ({key[0]})"
        starts, rows = sorted(found[key], key=lambda start: (start.std, abs(start.mean))), wanted[key]
        if len(starts) != (count := sum(row[0] for row in rows)):
            yield f"{where}: {count} parameters expected, {len(starts)} found"
            continue
        for number, mean, std, kind in sorted(rows, key=lambda row: (row[2], abs(row[1]))):
            group, starts = starts[:number], starts[number:]
            if fault := _start_fault(group, mean, std, kind):
                yield f"{where}: {fault}"


def _start_fault(group: Sequence[_Start], mean: float, std: float, kind: str) -> str | None:
    """What is wrong with parameters that should have started alike."""
    size = group[0].size
    found = math.sqrt(sum(start.std**2 for start in group) / len(group))
    if kind == "constant":
        worst = max(group, key=lambda start: abs(start.mean - mean) + start.std)
        wrong = worst.std > 0 or abs(worst.mean - mean) > 1e-6
        return f"constant {mean:g} expected, mean {worst.mean:g} and std {worst.std:g} found" if wrong else None
    if size == 1:
        values = [start.mean for start in group]
        wrong = any(value == 0 or abs(value) > 4 * std for value in values)
        return f"random number of std {std:g} expected, {values} found" if wrong else None
    # Four standard errors of the deviation: of the recorded three constructions and of this one.
    if abs(found - std) > max(0.08, 4 * math.sqrt((1 / 3 + 1) / (2 * size * len(group)))) * max(found, std):
        return f"std {std:g} expected, {found:g} found"
    have = _kind(group)
    if size > 200 and (kind in ("uniform", "normal", "normal cut at 2 sigma")) and have != kind:
        return f"{kind} expected, {have} found"
    return None


def _kind(group: Sequence[_Start]) -> str:
    if sum(start.peak for start in group) / len(group) < 1.87:
        return "uniform"
    kurtosis = sum(start.kurtosis for start in group) / len(group)
    if group[0].size < 500:
        return "normal?"
    return "normal cut at 2 sigma" if kurtosis < 2.65 else "normal"
