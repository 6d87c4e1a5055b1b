"""Compound losses: any weighted sum of losses (Jang & Ahn 2025 sum pairs with weights of 1)."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lightning_seg.errors import UserError
from lightning_seg.losses.distance import compare, needs_distances
from lightning_seg.losses.schedule import Schedule


class WeightedSum(nn.Module):
    """The sum of weight x term. A term of weight 0 is dropped, not computed.

    Args:
        terms: losses by name, any modules called as ``term(logits, targets)`` that return a scalar.
        weights: one number >= 0 for each term, by the same names; at least one is positive.
        name: what the error messages call this loss.
        schedule: by which factor a term's weight is multiplied in each epoch of a training, see :class:`Schedule`;
            terms that are not named keep their weight. Outside a training all factors are 1.

    Raises:
        UserError: the names of weights and terms differ, a weight is out of range, or a schedule is none.
    """

    def __init__(
        self,
        terms: Mapping[str, nn.Module],
        weights: Mapping[str, float],
        name: str = "",
        schedule: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.where = f"Loss {name}" if name else "The loss"
        if not isinstance(weights, Mapping):
            named = ", ".join(terms)
            raise UserError(f"{self.where} has the weights {weights}: give each of its terms ({named}) a number.")
        if set(weights) != set(terms):
            raise UserError(
                f"{self.where} has weights for ({', '.join(weights)}) but its terms are ({', '.join(terms)}): "
                "give each term one weight."
            )
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights.values()) or not any(weights.values()):
            given = ", ".join(f"{term}={weight}" for term, weight in weights.items())
            raise UserError(f"{self.where} has the weights ({given}): all must be >= 0, and at least one positive.")
        if unknown := set(schedule or {}) - set(terms):
            raise UserError(
                f"{self.where} has a schedule for {min(unknown)!r}, but its terms are ({', '.join(terms)})."
            )
        self.weights = {term: float(weight) for term, weight in weights.items() if weight}
        self.terms = nn.ModuleDict({term: terms[term] for term in self.weights})
        self.schedule = {
            term: Schedule.parse(text, f"{self.where}: schedule.{term}") for term, text in (schedule or {}).items()
        }
        self.needs_distances = any(needs_distances(term) for term in self.terms.values())
        self._current = self.weights

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Take the weights of an epoch, counted from 0, of a training of at most ``epochs``.

        Raises:
            UserError: there is an epoch in which all weights would be 0.
        """
        if not self.schedule:
            return
        for each in range(epochs):
            if not any(self.weights_in(each, epochs).values()):
                raise UserError(f"{self.where} has no term left in epoch {each + 1} of {epochs}: mend its schedule.")
        self._current = {term: weight for term, weight in self.weights_in(epoch, epochs).items() if weight}

    def weights_in(self, epoch: int, epochs: int) -> dict[str, float]:
        """The weight of each term in an epoch, counted from 0."""
        factors = {term: schedule.factor(epoch, epochs) for term, schedule in self.schedule.items()}
        return {term: weight * factors.get(term, 1.0) for term, weight in self.weights.items()}

    def forward(self, logits: Tensor, targets: Tensor, distances: Tensor | None = None) -> Tensor:
        weighted = [
            weight * compare(self.terms[term], logits, targets, distances) for term, weight in self._current.items()
        ]
        return torch.stack(weighted).sum()

    def extra_repr(self) -> str:
        schedule = "".join(f", {term}: {schedule}" for term, schedule in self.schedule.items())
        return f"weights={self.weights}{schedule}"


class BalancedSum(nn.Module):
    """A sum in which each further term is scaled, in every step, to the size of the first.

    Karimi & Salcudean 2019 (arXiv:1904.10030) give Dice and the Hausdorff loss, which differ by orders of magnitude,
    equal weight; Ma et al. 2021 set the ratio in each step. Scales are taken as constants by the gradient.

    Args:
        terms: losses by name; the first one keeps its scale.
    """

    def __init__(self, terms: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.terms = nn.ModuleDict(terms)
        self.needs_distances = any(needs_distances(term) for term in self.terms.values())

    def forward(self, logits: Tensor, targets: Tensor, distances: Tensor | None = None) -> Tensor:
        first, *others = (compare(term, logits, targets, distances) for term in self.terms.values())
        scale = first.detach()
        return torch.stack([first, *(scale / (other.detach() + 1e-5) * other for other in others)]).sum()
