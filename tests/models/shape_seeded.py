"""Fill a network's parameters by what they are and how they are shaped, not by what they are called.

Two implementations of one architecture then hold the same weights whatever their
parameters are named, and one recorded output checks them all.

    fill(net)               in place; every parameter and buffer
    probe(batch, size)      the fixed input, float32 (batch, 3, size, size), roughly N(0, 1)
    calibrate(net)          after fill: batch-norm statistics become those of probe(2), so that activations
                            stay in range and a wrong detail deep inside shows in the output
    fingerprint(net)        parameter count and the multiset of squeezed parameter shapes

Same-shaped tensors get the same values, so outputs cannot tell shared weights from copies,
nor two same-shaped layers swapped: hold the parameter count against the fingerprint too.
A tensor that an implementation splits (a fused key-value projection, say) must be filled fused, then split.
"""

import zlib
from collections import Counter

import numpy as np
import torch
from torch import nn

NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)


def _squeezed(shape):
    """Drop the unit dimensions, so that a linear layer and a 1x1 convolution agree."""
    return tuple(int(n) for n in shape if n != 1) or (1,)


def _noise(role, shape):
    seed = zlib.crc32(f"{role}:{_squeezed(shape)}".encode())
    values = np.random.RandomState(seed).standard_normal(int(np.prod(_squeezed(shape))))
    return torch.from_numpy(values.astype(np.float32)).reshape(tuple(shape))


def _is_norm(module):
    """A normalisation of torch, a subclass that adds an activation (timm's BatchNormAct2d), or a home-made one."""
    return isinstance(module, NORMS) or ("norm" in type(module).__name__.lower() and not list(module.children()))


@torch.no_grad()
def fill(net):
    for module in net.modules():
        norm = _is_norm(module)
        for name, value in list(module.named_parameters(recurse=False)) + list(module.named_buffers(recurse=False)):
            if not value.is_floating_point():
                continue
            if name == "running_var":
                value.copy_(1 + 0.1 * _noise("running_var", value.shape).abs())
            elif name == "running_mean":
                value.copy_(0.1 * _noise("running_mean", value.shape))
            elif norm and name == "weight":
                value.copy_(1 + 0.1 * _noise("scale", value.shape))
            elif norm and name == "bias":
                value.copy_(0.1 * _noise("shift", value.shape))
            elif name == "bias":
                value.copy_(0.05 * _noise("bias", value.shape))
            elif name == "weight" and isinstance(module, nn.PReLU):
                value.fill_(0.25)
            elif name == "weight" and value.ndim >= 2:
                fan_in = value[0].numel()
                value.copy_(_noise("weight", value.shape) * fan_in**-0.5)
            elif isinstance(value, nn.Parameter):
                value.copy_(0.02 * _noise("token", value.shape))
    return net


@torch.no_grad()
def calibrate(net, size=224):
    net.eval()
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [m.momentum for m in norms]
    for m in norms:
        m.train()
        m.momentum = 1.0
    images = probe(2, size).to(next(net.parameters()).dtype)
    tuple(net.outputs(images))  # every map, those too that evaluation leaves out
    for m, momentum in zip(norms, momenta, strict=False):
        m.momentum = momentum
    return net.eval()


def probe(batch=2, size=224):
    values = np.random.RandomState(42).standard_normal((batch, 3, size, size))
    return torch.from_numpy(values.astype(np.float32))


def fingerprint(net):
    shapes = Counter("x".join(map(str, _squeezed(p.shape))) for p in net.parameters())
    return {"parameters": sum(p.numel() for p in net.parameters()), "shapes": dict(sorted(shapes.items()))}
