"""Networks with one wrong detail of their training, which the facts must catch (``test_training_facts.py``).

Rows of ``STARTS`` change how a network of full size is initialised, rows of ``CHANGES`` what its small form does in
training. To add one, append a row.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import DropPath
from torch import Tensor, nn

from lightning_seg.models import fcn
from lightning_seg.models.attention import LineAttention
from lightning_seg.models.emcadnet import DepthwiseConv
from tests.models.test_mutations import replace, within


@dataclass(frozen=True)
class Mutation:
    """One wrong detail: ``apply`` changes a network in place."""

    network: str
    description: str
    apply: Callable[[Any], Any]


# ---- how to change a network ----------------------------------------------------------------------------------------


def start(module: nn.Module, initialise: Callable[[Tensor], Any], kind: type[nn.Module] = nn.Conv2d) -> None:
    """Initialise the weights of every ``kind`` of layer inside ``module`` anew."""
    for layer in module.modules():
        if isinstance(layer, kind):
            initialise(layer.weight)


def set_momentum(module: nn.Module, momentum: float) -> None:
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = momentum


def set_rate(module: nn.Module, rate: float, kind: type[nn.Module] = DropPath) -> None:
    for layer in module.modules():
        if isinstance(layer, kind):
            setattr(layer, "drop_prob" if kind is DropPath else "p", rate)


def keep_statistics(module: nn.Module) -> None:
    """Normalise by the running statistics in training too."""
    module.train = lambda mode=True: nn.Module.train(module, False)  # type: ignore[method-assign]


def detach(module: nn.Module, argument: int = 0) -> None:
    """Stop the gradient of one of the inputs of ``module``."""

    def hook(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        stopped = inputs[argument]
        stopped = stopped.detach() if isinstance(stopped, Tensor) else [level.detach() for level in stopped]
        return (*inputs[:argument], stopped, *inputs[argument + 1 :])

    module.register_forward_pre_hook(hook)


def drop(module: nn.Module, layer: nn.Module) -> None:
    """Drop of what enters ``module``."""
    module.register_forward_pre_hook(lambda _, inputs: (layer(inputs[0]), *inputs[1:]))
    module.add_module("dropped", layer)


def stopped(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *args, **options: function(*args, **options).detach()


def set_gains(network: nn.Module, value: float) -> None:
    for module in network.modules():
        if isinstance(module, LineAttention):
            nn.init.constant_(module.gain, value)


def zero_last_norms(encoder: nn.Module, name: str) -> None:
    for block in encoder.modules():
        if hasattr(block, name) and hasattr(block, "downsample"):
            nn.init.zeros_(getattr(block, name).weight)


def he_uniform(weight: Tensor) -> Tensor:
    return nn.init.kaiming_uniform_(weight, nonlinearity="relu")


def he_by_outputs(weight: Tensor) -> Tensor:
    return nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")


def narrow(weight: Tensor) -> Tensor:
    return nn.init.normal_(weight, std=0.02)


def torch_default(module: nn.Module, kind: type[nn.Conv2d] = nn.Conv2d) -> None:
    for layer in module.modules():
        if isinstance(layer, kind):
            layer.reset_parameters()


def zero_biases(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.bias)


def drop_in_ducks(network: Any) -> None:
    for block in network.encoder:
        drop(block.norm_out, nn.Dropout2d(0.05))


def adapt_with_one_gradient(network: Any) -> None:
    """Through the last of the repeats alone."""

    def forward(features: Tensor, module: Any) -> Tensor:
        for _ in range(module.repeats):
            features = features.detach()
            features = F.relu(module.wide(features)) + F.relu(module.narrow(features))
        return features

    for module in network.adapt:
        module.forward = functools.partial(forward, module=module)


def upsample_without_gradient(network: Any) -> None:
    within(network, F, "interpolate", stopped(F.interpolate), "outputs")


def skip_without_gradient(network: Any) -> None:
    within(network, fcn, "crop", stopped(fcn.crop), "outputs")


def claim_without_gradient(network: Any) -> None:
    within(network.refine.stages[1], torch, "sigmoid", stopped(torch.sigmoid))


def refine_apart(network: Any) -> None:
    """Each level without the gradient of the next."""
    for stage in network.refine.stages:
        detach(stage, 1)


def without_sum(network: Any) -> None:
    original = network.outputs
    network.outputs = lambda images: list(original(images))[:-1]


def supervise_detached(network: Any) -> None:
    for head in network.heads[:-1]:
        detach(head)


def batch_for_group_norm(network: Any) -> None:
    for block in network.convolutional.middle:
        channels = block.main[0].num_channels
        block.main[0] = nn.BatchNorm2d(channels).double()


def train_kernels(network: Any) -> None:
    upsample = network.head.upsample_scores
    kernel = upsample._buffers.pop("kernel")
    upsample.kernel = nn.Parameter(kernel)


def drop_before_projection(network: Any) -> None:
    project = network.pyramid.project
    network.pyramid.project = nn.Sequential(project[1], project[0])


def drop_before_fusing(network: Any) -> None:
    drop(network.decoder.fuse, network.decoder.head[0])
    network.decoder.head[0] = nn.Identity()


def separable(network: Any) -> list[nn.Module]:
    return [*network.pyramid.branches[1:], *network.decoder]


STARTS = [
    Mutation("unet", "He's normal", lambda n: start(n, nn.init.kaiming_normal_)),
    Mutation("unet", "no bias in the head", lambda n: nn.init.zeros_(n.head.bias)),
    Mutation("unet", "upsampling by Xavier", lambda n: start(n, nn.init.xavier_uniform_, nn.ConvTranspose2d)),
    Mutation("unet_bilinear", "no bias in the head", lambda n: nn.init.zeros_(n.head.bias)),
    Mutation("unetplusplus_deep_supervision", "heads at one", lambda n: start(n.heads, nn.init.ones_)),
    Mutation("unetplusplus", "biases at zero", lambda n: zero_biases(n.encoder)),
    Mutation("unetplusplus", "scales at zero", lambda n: start(n.grid, nn.init.zeros_, nn.BatchNorm2d)),
    Mutation("colonsegnet", "transposed convolutions narrow", lambda n: start(n, narrow, nn.ConvTranspose2d)),
    Mutation("colonsegnet", "channel attention by He", lambda n: start(n, he_uniform, nn.Linear)),
    Mutation("fcn", "scores not at zero", lambda n: nn.init.normal_(n.head.score.weight, std=0.01)),
    Mutation("fcn", "VGG by the inputs", lambda n: start(n.encoder, nn.init.kaiming_normal_)),
    Mutation("fcn_resnet50", "heads by He", lambda n: start(n.head, he_by_outputs)),
    Mutation("fcn_resnet50", "residual blocks at zero", lambda n: zero_last_norms(n.encoder, "bn3")),
    Mutation("deeplabv3plus", "depthwise as pointwise", lambda n: [narrow(s[0][0].weight) for s in separable(n)]),
    Mutation("deeplabv3plus", "plain convolutions as torch's", lambda n: torch_default(n.pyramid.mean)),
    Mutation("deeplabv3plus", "classifier wide", lambda n: nn.init.normal_(n.head.weight, std=0.1)),
    Mutation("deeplabv3plus", "normals not cut", lambda n: start(n.encoder, lambda w: nn.init.normal_(w, std=0.0792))),
    Mutation("deeplabv3plus", "prior in the classifier's bias", lambda n: nn.init.constant_(n.head.bias, -2.2)),
    Mutation("ducknet", "He's uniform everywhere", lambda n: start(n, he_uniform)),
    Mutation("ducknet", "Glorot's uniform everywhere", lambda n: start(n, nn.init.xavier_uniform_)),
    Mutation("ducknet", "biases as torch's", lambda n: torch_default(n.head)),
    Mutation("fatnet", "residual blocks at zero", lambda n: zero_last_norms(n.cnn, "bn2")),
    Mutation("fatnet", "adaptation by He", lambda n: start(n.adapt, nn.init.kaiming_normal_)),
    Mutation(
        "fatnet",
        "linear layers at zero",
        lambda n: start(n.transformer, nn.init.zeros_, nn.Linear),
    ),
    Mutation("fcbformer", "last convolution at zero", lambda n: nn.init.zeros_(n.head[-1].weight)),
    Mutation("fcbformer", "convolutional branch by Xavier", lambda n: start(n.convolutional, nn.init.xavier_uniform_)),
    Mutation("colonformer", "UPerHead as torch's", lambda n: torch_default(n.decoder.fuse)),
    Mutation("colonformer", "classifier as torch's", lambda n: torch_default(n.decoder.head)),
    Mutation("colonformer", "gains at a tenth", lambda n: set_gains(n, 0.1)),
    Mutation("colonformer", "slopes at zero", lambda n: start(n.refine, nn.init.zeros_, nn.PReLU)),
    Mutation("caranet", "encoder by the inputs", lambda n: start(n.encoder, nn.init.kaiming_normal_)),
    Mutation("caranet", "gains at one", lambda n: set_gains(n, 1.0)),
    Mutation("caranet", "slopes at a tenth", lambda n: start(n, lambda w: nn.init.constant_(w, 0.1), nn.PReLU)),
    Mutation("esfpnet", "patches by He", lambda n: he_by_outputs(n.encoder.patch_embed.proj.weight)),
    Mutation("esfpnet", "fusing convolutions as torch's", lambda n: [f.conv.reset_parameters() for f in n.fuse]),
    Mutation("esfpnet", "head narrow", lambda n: narrow(n.head.weight)),
    Mutation("esfpnet_b4", "patches by He", lambda n: he_by_outputs(n.encoder.patch_embed.proj.weight)),
    Mutation("emcadnet", "heads as the decoder", lambda n: start(n.heads, narrow)),
    Mutation(
        "emcadnet",
        "depthwise as torch's",
        lambda n: torch_default(n.decoder, DepthwiseConv),
    ),
]

CHANGES = [
    Mutation("unet", "dropout at the bottom", lambda n: drop(n.up[0], nn.Dropout(0.5))),
    Mutation("unet", "momentum 0.01", lambda n: set_momentum(n, 0.01)),
    Mutation("unet", "a skip without gradient", lambda n: detach(n.up[3], 1)),
    Mutation("unet", "one norm frozen", lambda n: keep_statistics(n.stem[0][1])),
    Mutation("unet_bilinear", "momentum 0.05 in one norm", lambda n: set_momentum(n.down[3][1], 0.05)),
    Mutation("unetplusplus", "dropout in the first node", lambda n: drop(n.encoder[0][1], nn.Dropout(0.1))),
    Mutation("unetplusplus", "deepest weighs most", lambda n: setattr(n, "output_weights", (0.4, 0.2, 0.2, 0.2))),
    Mutation("unetplusplus", "maps summed, not averaged", lambda n: setattr(n, "output_weights", (1.0,) * 4)),
    Mutation("unetplusplus", "upsampled without gradient", upsample_without_gradient),
    Mutation("unetplusplus", "auxiliary heads on detached maps", supervise_detached),
    Mutation("colonsegnet", "momentum 0.01, as in Keras", lambda n: set_momentum(n, 0.01)),
    Mutation("colonsegnet", "attention without gradient", lambda n: detach(n.fuse2.shortcut[2].gate)),
    Mutation("colonsegnet", "dropout before the head", lambda n: drop(n.head, nn.Dropout2d(0.1))),
    Mutation("colonsegnet", "pooled without gradient", lambda n: detach(n.encoder2)),
    Mutation("fcn", "dropout by element", lambda n: replace(n, nn.Dropout2d, nn.Dropout(0.5))),
    Mutation("fcn", "dropout of 0.4 after fc7", lambda n: setattr(n.head.dropout, "p", 0.4)),
    Mutation("fcn", "one dropout", lambda n: setattr(n.encoder.pre_logits, "drop", nn.Identity())),
    Mutation("fcn", "skips without gradient", skip_without_gradient),
    Mutation("fcn", "kernels trained", train_kernels),
    Mutation("fcn_resnet50", "auxiliary weight 0.4", lambda n: setattr(n, "output_weights", (1.0, 0.4))),
    Mutation("fcn_resnet50", "dropout by channel", lambda n: replace(n.head, nn.Dropout, nn.Dropout2d(0.1))),
    Mutation("fcn_resnet50", "auxiliary head without gradient", lambda n: detach(n.head.heads[1])),
    Mutation("deeplabv3plus", "momentum 0.1 in the decoder", lambda n: set_momentum(n.decoder, 0.1)),
    Mutation("deeplabv3plus", "momentum 0.0003 left out in the stem", lambda n: set_momentum(n.encoder.stem, 0.1)),
    Mutation("deeplabv3plus", "dropout 0.5", lambda n: set_rate(n.pyramid, 0.5, nn.Dropout)),
    Mutation("deeplabv3plus", "dropout before the projection", drop_before_projection),
    Mutation("deeplabv3plus", "low-level features without gradient", lambda n: detach(n.reduce_low)),
    Mutation("deeplabv3plus_resnet18", "momentum 0.1 in the encoder", lambda n: set_momentum(n.encoder, 0.1)),
    Mutation("ducknet", "momentum 0.99, as Keras counts it", lambda n: set_momentum(n, 0.99)),
    Mutation("ducknet", "plain path without gradient", lambda n: detach(n.plain[2])),
    Mutation("ducknet", "dropout in the blocks", drop_in_ducks),
    Mutation("fatnet", "drop path in the transformer", lambda n: drop(n.transformer.blocks[3].mlp, DropPath(0.1))),
    Mutation("fatnet", "transformer without gradient", lambda n: n.transformer.requires_grad_(False)),
    Mutation("fatnet", "repeats without gradient", adapt_with_one_gradient),
    Mutation("fatnet", "momentum 0.01 in the decoder", lambda n: set_momentum(n.up, 0.01)),
    Mutation("fcbformer", "drop path in the encoder", lambda n: drop(n.encoder.stages_1.blocks[0].mlp, DropPath(0.1))),
    Mutation("fcbformer", "transformer without gradient", lambda n: detach(n.locality)),
    Mutation("fcbformer", "dropout in the head", lambda n: drop(n.head[1].main[5], nn.Dropout(0.1))),
    Mutation("fcbformer", "batch for group norm", batch_for_group_norm),
    Mutation("colonformer", "dropout by element", lambda n: replace(n.decoder, nn.Dropout2d, nn.Dropout(0.1))),
    Mutation("colonformer", "dropout a layer earlier", drop_before_fusing),
    Mutation("colonformer", "drop path alike in all blocks", lambda n: set_rate(n.encoder, 0.1)),
    Mutation("colonformer", "rough map without gradient", lambda n: detach(n.refine, 1)),
    Mutation("colonformer", "main map weighs double", lambda n: setattr(n, "output_weights", (2.0, 1.0, 1.0, 1.0))),
    Mutation("colonformer", "momentum 0.01 in the refinement", lambda n: set_momentum(n.refine, 0.01)),
    Mutation("caranet", "auxiliary maps weigh half", lambda n: setattr(n, "output_weights", (1.0, 0.5, 0.5, 0.5))),
    Mutation("caranet", "levels refined apart", refine_apart),
    Mutation("caranet", "unclaimed share without gradient", claim_without_gradient),
    Mutation("caranet", "dropout before the partial decoder's head", lambda n: drop(n.decoder.head, nn.Dropout2d(0.1))),
    Mutation("caranet", "momentum 0.03 in the refinement", lambda n: set_momentum(n.refine, 0.03)),
    Mutation("esfpnet", "no drop path", lambda n: set_rate(n.encoder, 0.0)),
    Mutation("esfpnet", "dropout in the pyramid", lambda n: drop(n.projections[0], nn.Dropout2d(0.1))),
    Mutation("esfpnet", "deepest projection without gradient", lambda n: detach(n.projections[3])),
    Mutation("esfpnet", "momentum 0.01", lambda n: set_momentum(n.fuse, 0.01)),
    Mutation("emcadnet", "drop path 0.2", lambda n: [set_rate(b, 0.2) for b in n.encoder.stages_3.blocks]),
    Mutation("emcadnet", "the sum of maps left out", without_sum),
    Mutation("emcadnet", "the sum weighs half", lambda n: setattr(n, "output_weights", (1.0, 1.0, 1.0, 1.0, 0.5))),
    Mutation("emcadnet", "gates without gradient", lambda n: [detach(g, 0) for g in n.decoder.gates]),
    Mutation("emcadnet", "momentum 0.01 in the decoder", lambda n: set_momentum(n.decoder, 0.01)),
]
