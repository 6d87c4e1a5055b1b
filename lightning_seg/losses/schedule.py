"""Factors that change with the epoch."""

import re
from dataclasses import dataclass

from lightning_seg.errors import UserError

FORMS = "linear(start, end), linear(start, end, epochs), until(epochs) or after(epochs)"


@dataclass(frozen=True)
class Schedule:
    """A factor for each epoch of a training, written as a call.

    * ``linear(start, end)``: from ``start`` in the first epoch to ``end`` in the last; with a third number, within so
      many epochs, and constant afterwards.
    * ``until(n)``: 1 in the first n epochs, 0 afterwards. ``after(n)``: the reverse.

    Numbers of epochs below 1 are shares of the whole training: ``after(0.5)`` begins half way.
    """

    kind: str
    numbers: tuple[float, ...]

    @classmethod
    def parse(cls, text: str, where: str) -> "Schedule":
        """Read a schedule.

        Args:
            text: such as ``linear(0, 1)``.
            where: the beginning of an error's sentence.

        Raises:
            UserError: it is none of the forms, or a number makes no sense.
        """
        call = re.fullmatch(r"\s*(linear|until|after)\s*\((.*)\)\s*", str(text))
        try:
            numbers = tuple(float(number) for number in call[2].split(",")) if call else ()
        except ValueError:
            numbers = ()
        kind = call[1] if call else ""
        factors, epochs = (numbers[:2], numbers[2:]) if kind == "linear" else ((), numbers)
        if (
            len(numbers) not in {"linear": (2, 3), "until": (1,), "after": (1,)}.get(kind, ())
            or not all(0 <= factor < float("inf") for factor in factors)
            or not all(0 < count < float("inf") for count in epochs)
        ):
            raise UserError(f"{where} {text!r} is no schedule: write {FORMS}, with factors >= 0 and epochs > 0.")
        return cls(kind, numbers)

    def factor(self, epoch: int, epochs: int) -> float:
        """The factor in ``epoch``, counted from 0, of at most ``epochs``."""
        if self.kind == "linear":
            start, end, *length = self.numbers
            last = (self._whole(length[0], epochs) if length else epochs) - 1
            share = min(1.0, epoch / last) if last > 0 else 1.0
            return start + (end - start) * share
        early = epoch < self._whole(self.numbers[0], epochs)
        return float(early == (self.kind == "until"))

    @staticmethod
    def _whole(count: float, epochs: int) -> float:
        return count * epochs if count < 1 else count

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(f'{number:g}' for number in self.numbers)})"
