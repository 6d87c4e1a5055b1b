"""Tuners: what settings are tried for a loss, and which of them its runs use."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lightning_seg.errors import UserError
from lightning_seg.runs.fingerprint import flatten


class Tuner(Protocol):
    """What ``conf/tune/<name>.yaml`` names by its ``_target_``, one for all datasets, networks and losses.

    It is asked once for what to try, so that all of them are given the same trials.
    """

    def propose(self) -> Sequence[Mapping[str, Any]]:
        """Settings to try, by dotted configuration key, such as ``{"optimizer.lr": 0.001}``; all have the same keys."""

    def choose(self, scores: Sequence[float]) -> int:
        """The position of the settings to use.

        Args:
            scores: of the settings in the order of :meth:`propose`, for one dataset, network and loss: the best
                validation Dice of a trial, in [0, 1], mean over the trials' repeats.
        """


class Grid:
    """All combinations of some values; the highest validation Dice wins, and of equals the first.

    Args:
        keys: by configuration key, nested or dotted, the values to try.

    Raises:
        UserError: there is no key, or one has no list of values.
    """

    def __init__(self, keys: Mapping[str, Any]) -> None:
        self.values = {key: value for key, value in flatten(keys).items() if key}
        if not self.values:
            raise UserError("tune has no keys to try values of; give some, such as tune.keys.optimizer.lr=[1e-3,3e-3].")
        for key, values in self.values.items():
            if not isinstance(values, list) or not values:
                raise UserError(f"tune.keys.{key}={values} is not valid: it must be a list of values, [1e-3,3e-3].")

    def propose(self) -> list[dict[str, Any]]:
        return [dict(zip(self.values, values, strict=True)) for values in itertools.product(*self.values.values())]

    def choose(self, scores: Sequence[float]) -> int:
        return max(range(len(scores)), key=lambda position: scores[position])
