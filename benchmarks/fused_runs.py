"""Would several runs trained as one program be faster? Steps of N networks stacked by vmap, against N steps in turn.

    python benchmarks/fused_runs.py --runs 4

Each network has its own weights, batch and loss value. Stacked, one call of ``torch.func.vmap`` computes all gradients,
with parameters and running statistics as stacked tensors, and one Adam steps on all of them. The step in turn is what
runs in one process do today. Gradients of both are compared first. What the prototype leaves out (orders, early
stopping, records) would only make it slower.
"""

import argparse
import copy
from collections.abc import Callable

import torch
from measure import alternate, report
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from lightning_seg.losses import DiceLoss
from lightning_seg.models import ColonSegNet, ESFPNet, UNet

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "unet": lambda: UNet(width=8),
    "colonsegnet": lambda: ColonSegNet(width=32),
    "esfpnet": lambda: ESFPNet(variant="b0", pretrained=False),
}
LOSS = DiceLoss()


def total(outputs: Tensor | tuple[Tensor, ...], masks: Tensor) -> Tensor:
    maps = (outputs,) if isinstance(outputs, Tensor) else outputs
    return sum((LOSS(logits, masks) for logits in maps[1:]), start=LOSS(maps[0], masks))


def in_turn(networks: list[nn.Module], images: Tensor, masks: Tensor) -> Callable[[], list[Tensor]]:
    """A step of each network, one after the other; the losses."""
    optimizers = [torch.optim.Adam(network.parameters(), fused=True) for network in networks]

    def step() -> list[Tensor]:
        values = []
        for network, optimizer, x, y in zip(networks, optimizers, images, masks, strict=True):
            optimizer.zero_grad()
            value = total(network(x), y)
            value.backward()
            optimizer.step()
            values.append(value.detach())
        return values

    return step


def stacked(networks: list[nn.Module], images: Tensor, masks: Tensor) -> Callable[[], list[Tensor]]:
    """A step of all networks at once; the losses."""
    parameters, buffers = stack_module_state(networks)
    leaves = {name: nn.Parameter(value.detach().clone()) for name, value in parameters.items()}
    optimizer = torch.optim.Adam(leaves.values(), fused=True)
    skeleton = copy.deepcopy(networks[0]).train()

    def value_of(own: dict[str, Tensor], kept: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return total(functional_call(skeleton, (own, kept), (x,)), y)

    of_all = vmap(grad_and_value(value_of), randomness="different")

    def step() -> list[Tensor]:
        gradients, values = of_all({name: leaf.detach() for name, leaf in leaves.items()}, buffers, images, masks)
        for name, leaf in leaves.items():
            leaf.grad = gradients[name]
        optimizer.step()
        return list(values)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    shape = (arguments.runs, arguments.batch, 3, arguments.size, arguments.size)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    masks = (images.mean(2, keepdim=True) > 0).float()
    for name in arguments.networks.split(","):
        torch.manual_seed(0)
        networks = [NETWORKS[name]().train() for _ in range(arguments.runs)]
        ways = {"in turn": in_turn(copy.deepcopy(networks), images, masks), "stacked": stacked(networks, images, masks)}
        first, second = (torch.stack(way()) for way in ways.values())
        print(f"{name}: losses differ by at most {float((first - second).abs().max()):.1e}")
        report(f"{name}, {arguments.runs} runs, a step", alternate(ways, arguments.rounds), "in turn", unit="ms")


if __name__ == "__main__":
    main()
