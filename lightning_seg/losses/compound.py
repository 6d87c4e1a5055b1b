"""Compound losses: any weighted sum of losses (Jang & Ahn 2025 sum pairs with weights of 1)."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lightning_seg.errors import UserError


class WeightedSum(nn.Module):
    """The sum of weight x term. A term of weight 0 is dropped, not computed.

    Args:
        terms: losses by name, any modules called as ``term(logits, targets)`` that return a scalar.
        weights: one number >= 0 for each term, by the same names; at least one is positive.
        name: what the error messages call this loss.

    Raises:
        UserError: the names of weights and terms differ, or a weight is out of range.
    """

    def __init__(self, terms: Mapping[str, nn.Module], weights: Mapping[str, float], name: str = "") -> None:
        super().__init__()
        where = f"Loss {name}" if name else "The loss"
        if not isinstance(weights, Mapping):
            raise UserError(f"{where} has the weights {weights}: give each of its terms ({', '.join(terms)}) a number.")
        if set(weights) != set(terms):
            raise UserError(
                f"{where} has weights for ({', '.join(weights)}) but its terms are ({', '.join(terms)}): "
                "give each term one weight."
            )
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights.values()) or not any(weights.values()):
            given = ", ".join(f"{term}={weight}" for term, weight in weights.items())
            raise UserError(f"{where} has the weights ({given}): all must be >= 0, and at least one positive.")
        self.weights = {term: float(weight) for term, weight in weights.items() if weight}
        self.terms = nn.ModuleDict({term: terms[term] for term in self.weights})

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        weighted = [weight * self.terms[term](logits, targets) for term, weight in self.weights.items()]
        return torch.stack(weighted).sum()

    def extra_repr(self) -> str:
        return f"weights={self.weights}"
