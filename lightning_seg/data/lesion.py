"""Which mask values are lesion: one decision for a whole dataset.

``dataset.lesion`` says it, or ``auto`` finds out where the masks leave no doubt. Where they do, the user is asked: a
guess could lose lesions without a word.
"""

import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lightning_seg.data.blur import among, main_colours, nearest
from lightning_seg.data.images import COLOUR_TOLERANCE, MASK_THRESHOLD
from lightning_seg.data.layers import FEW, Layers, Seen
from lightning_seg.errors import UserError
from lightning_seg.wording import counted

_COMPARISONS: dict[str, Callable[[NDArray, float], NDArray[np.bool_]]] = {
    ">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt,
}  # fmt: skip
_COMPARISON = re.compile(r"(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?)")
_COLOUR = re.compile(r"#([0-9a-fA-F]{6})")
_STRAY = 0.01  # of a mask's pixels that are not 0: values of less are strays (FUSeg's 32: 0.002 %)
_PEAK = 0.05  # of these pixels: shades that hold more around one value are a label
_DARK = 32  # of 255: shades so near to an end are that end (ClinicDB's 11 holds up to 7 % of such pixels)
_LISTED = 8  # values that an error names
_PART = 1 << 22  # pixels that are held against the values at a time

Channel = Literal["value", "colour", "alpha"]


@dataclass(frozen=True)
class Choice:
    """What ``dataset.lesion`` says.

    Attributes:
        kind: ``auto``, ``nonzero``, ``alpha``, ``values`` (numbers), ``compare``, ``colours`` (0xRRGGBB) or ``labels``
            (names of an annotation's classes).
        numbers: the values, the colours, or the bound of the comparison.
        sign: of the comparison.
        labels: the names.
        text: as it was given.
    """

    kind: str
    numbers: tuple[float, ...] = ()
    sign: str = ""
    labels: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class Rule:
    """Which pixels of a mask are lesion.

    Attributes:
        channel: what is looked at: a grey level or palette index, a colour, or the alpha channel.
        sign: ``in`` for one of ``numbers``, ``not in``, or a comparison with the first of them.
        numbers: see ``sign``.
        words: the decision in one sentence.
        guarded: it was found by looking, so that a mask with values of which none reaches it is refused.
        mains: the colours that masks of a blurring format mainly hold, 0xRRGGBB; there, each pixel counts as the
            nearest of them.
        chosen: those of ``mains`` that are lesion.
    """

    channel: Channel
    sign: str
    numbers: tuple[float, ...]
    words: str
    guarded: bool = False
    mains: tuple[int, ...] = ()
    chosen: tuple[int, ...] = ()

    @property
    def keeps_greys(self) -> bool:
        """Whether it is the rule of the published datasets, which may see a mask's own grey values."""
        return (self.channel, self.sign, self.numbers) == ("value", ">=", (MASK_THRESHOLD,))

    def lesion(self, mask: Layers) -> NDArray[np.bool_]:
        """True on the lesion, ``(H, W)``.

        Raises:
            ValueError: the mask has no such channel, or has values and none is lesion although it was taken for a
                mask of another kind; in words.
        """
        if self.channel == "alpha":
            if mask.alpha is None:
                raise ValueError("it has no alpha channel, in which other masks keep the lesion")
            return self._holds(mask.alpha)
        if self.mains and mask.is_blurred:
            return nearest(mask.colours(), self.mains, self.chosen)
        if self.channel == "colour":
            return _near(mask.colours(), self.numbers)
        if mask.kind == "colour":
            if self.sign == "not in":
                return mask.colours() != 0
            raise ValueError("the mask has colours; name the lesion's with dataset.lesion='#rrggbb'")
        found = self._holds(mask.values)
        if self.guarded and not found.any() and (brightest := mask.values.max(initial=0)) > 0:
            raise ValueError(
                f"the mask's brightest value is {brightest} of 255, so nothing in it counts as lesion; save it with "
                "the lesion white (255) on black (0), or say with dataset.lesion which values are lesion"
            )
        return found

    def _holds(self, values: NDArray) -> NDArray[np.bool_]:
        if self.sign in _COMPARISONS:
            return _COMPARISONS[self.sign](values, self.numbers[0])
        flat = values.reshape(-1)
        found = np.empty(flat.shape, dtype=bool)
        for start in range(0, len(flat), _PART):  # isin copies what it looks at, several times
            part = slice(start, start + _PART)
            found[part] = np.isin(flat[part], self.numbers, invert=self.sign == "not in")
        return found.reshape(values.shape)


def parse_lesion(value: str | float | Sequence[str | float]) -> Choice:
    """What ``dataset.lesion`` means; a text of no other meaning is the name of an annotation's class.

    Raises:
        UserError: it means nothing.
    """
    items = [value] if value is None or isinstance(value, str | int | float) else list(value)
    texts = [str(item).strip() for item in items]
    text = texts[0] if len(texts) == 1 else f"[{','.join(texts)}]"
    if texts in (["auto"], ["nonzero"], ["alpha"]):
        return Choice(texts[0], text=text)
    if len(texts) == 1 and (match := _COMPARISON.fullmatch(texts[0])):
        return Choice("compare", (float(match[2]),), match[1], text=text)
    if texts and all(_is_number(each) for each in texts):
        return Choice("values", tuple(float(each) for each in texts), text=text)
    if texts and all(_COLOUR.fullmatch(each) for each in texts):
        return Choice("colours", tuple(int(each[1:], 16) for each in texts), text=text)
    if texts and all(each and each[0] not in "#<>=" and each != "None" for each in texts):
        return Choice("labels", labels=tuple(texts), text=text)
    raise UserError(
        f"dataset.lesion={text} is not valid: it must be auto, nonzero, alpha, a value or a list of values, a bound "
        "such as '>=128', a colour such as '#ff0000', or the name of an annotation's class."
    )


def with_values(choice: Choice, names: Mapping[str, int]) -> Choice:
    """A choice of labels as that of the values that they name, if all of them are known."""
    if choice.kind != "labels" or not names.keys() >= set(choice.labels):
        return choice
    return Choice("values", tuple(float(names[label]) for label in choice.labels), text=choice.text)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None


def decide(choice: Choice, masks: Sequence[Seen]) -> Rule:
    """The rule for all masks of a dataset.

    Raises:
        UserError: the masks leave it open, or hold nothing of what was chosen; it says what they hold.
    """
    if choice.kind == "labels":
        raise UserError(
            f"dataset.lesion={choice.text} names a class of annotations, but the masks are images, with "
            f"{_contents(masks)}."
        )
    if choice.kind == "alpha":
        alpha = _pooled(mask.alpha_counts for mask in masks)
        return _alpha_rule(alpha, "as dataset.lesion=alpha says")
    if choice.kind == "auto":
        return _found(masks)
    if choice.kind != "compare" and (blurred := [mask for mask in masks if mask.is_blurred]):
        return _of_mains(_chosen(choice, masks), choice, blurred)
    return _chosen(choice, masks)


def _chosen(choice: Choice, masks: Sequence[Seen]) -> Rule:
    """The rule of explicit values, colours or a bound."""
    said = f"as dataset.lesion={choice.text} says (masks hold {_contents(masks)})"
    if choice.kind == "nonzero":
        return Rule("value", "not in", (0,), f"Lesion is where a mask is not 0, {said}")
    if choice.kind == "colours":
        _check_occurs(
            choice, masks, _colours(masks), lambda held: bool(_near(np.array(list(held)), choice.numbers).any())
        )
        return Rule("colour", "in", choice.numbers, f"Lesion is where a mask has the colour {choice.text}, {said}")
    if any(mask.kind == "colour" for mask in masks):
        raise UserError(
            f"dataset.lesion={choice.text} cannot be told in masks that have colours: {_contents(masks)}; name the "
            "lesion's colour with \"dataset.lesion='#rrggbb'\"."
        )
    held = _pooled(mask.counts for mask in masks)
    sign = choice.sign or "in"
    rule = Rule("value", sign, choice.numbers, "")
    _check_occurs(choice, masks, held, lambda values: bool(rule._holds(np.array(list(values))).any()))
    return Rule("value", sign, choice.numbers, f"Lesion is where a mask is {choice.text}, {said}")


def _of_mains(rule: Rule, choice: Choice, blurred: Sequence[Seen]) -> Rule:
    """A rule of explicit values or colours, with what becomes of masks whose format has blurred them."""
    wanted = [int(number) if choice.kind == "colours" else _grey(number) for number in choice.numbers]
    mains = main_colours(_colours(blurred), wanted)
    chosen = mains[1:] if choice.kind == "nonzero" else among(mains, wanted)
    is_grey = all(mask.kind == "grey" for mask in blurred)
    held = ", ".join(f"{main & 255}" if is_grey else _hex(main) for main in mains)
    format_ = blurred[0].path.suffix.lower().lstrip(".").upper()
    if not chosen:
        raise UserError(
            f"dataset.lesion={choice.text} cannot be told from noise in {counted(len(blurred), 'mask')} such as "
            f"{blurred[0].path}, whose format ({format_}) blurs values; they mainly hold {held}."
        )
    words = (
        f"{rule.words}; in {counted(len(blurred), 'mask')} whose format ({format_}) blurs values, each pixel counts "
        f"as the nearest of {held}"
    )
    return replace(rule, words=words, mains=mains, chosen=chosen)


def _check_occurs(
    choice: Choice, masks: Sequence[Seen], held: Counter[float], occurs: Callable[[Iterable[float]], bool]
) -> None:
    if not occurs(held):
        raise UserError(f"dataset.lesion={choice.text} occurs in no mask; they hold {_contents(masks)}.")


def _found(masks: Sequence[Seen]) -> Rule:
    """The rule that the masks leave no doubt of."""
    if wrong := next((mask for mask in masks if mask.alpha == "conflicts"), None):
        raise UserError(
            f"{wrong.path}: its alpha channel and its colours show different things; say which of them is the lesion, "
            "with dataset.lesion=alpha, dataset.lesion=nonzero or the lesion's values."
        )
    if any(mask.alpha == "alone" for mask in masks):
        # An opaque mask that is black, or has a drawing in it, is none whose alpha channel shows the lesion.
        others = [
            mask
            for mask in masks
            if mask.alpha == "none"
            or (mask.alpha == "constant" and max(mask.alpha_counts) and (len(mask.counts) > 1 or 0 in mask.counts))
        ]
        if others:
            raise UserError(
                f"{counted(len(masks) - len(others), 'mask')} with the lesion in the alpha channel and {len(others)} "
                f"without, such as {others[0].path}; save all of them in one way."
            )
        return _alpha_rule(_pooled(mask.alpha_counts for mask in masks), "which alone varies")
    kinds = {mask.kind for mask in masks if mask.counts.keys() != {0}}
    if "colour" in kinds or ("index" in kinds and len(kinds) > 1):
        return _by_colours(masks)
    counts = _pooled(mask.counts for mask in masks)
    if "index" in kinds:
        return _by_index(masks, counts)
    sign, numbers = _by_values(counts, masks)
    words = f"Lesion is where a mask is {_spelt(sign, numbers)} (masks hold {_listed(counts)})"
    if counts.keys() <= {0}:
        words = "No mask shows a lesion: all of them hold 0 alone"
    return Rule("value", sign, numbers, words, guarded=sign == ">=")


def _by_values(counts: Counter[float], masks: Sequence[Seen]) -> tuple[str, tuple[float, ...]]:
    """How grey values part, as the sign and the numbers of a rule."""
    threshold = (">=", (MASK_THRESHOLD,))
    present = sorted(counts)
    marked = [value for value in present if value != 0]
    if not marked:
        return threshold
    if len(marked) == 1:
        return "in", (marked[0],)
    area = sum(counts[value] for value in marked)
    if MASK_THRESHOLD <= present[-1] <= 255 and present[0] < MASK_THRESHOLD and all(v == int(v) for v in present):
        if len(present) == 2:
            return threshold
        if len(present) > FEW or _is_noise(present) or all(mask.is_lossy for mask in masks if len(mask.counts) > 2):
            if not _has_peak(counts, area):
                return threshold
        elif area - max(counts[value] for value in marked if value >= MASK_THRESHOLD) < _STRAY * area:
            return threshold
    raise _question(masks, [f"{value:g}" for value, _ in counts.most_common() if value != 0])


def _is_noise(present: list[float]) -> bool:
    """Whether values are those of JPEG at its best: a few next to 0, a few next to 255."""
    dark, bright = ([value for value in present if low <= value <= high] for low, high in ((1, 8), (247, 254)))
    return bool(dark and bright) and len(dark) + len(bright) + 2 == len(present)


def _has_peak(counts: Counter[float], area: int) -> bool:
    """Whether grey shades gather around a value between dark and bright, as those of a third label do."""
    shades = np.zeros(256 + 26)
    for value, count in counts.items():
        shades[int(value) + 13] = count if value else 0
    for value in range(_DARK, 256 - _DARK):
        near = shades[value + 9 : value + 18].sum()
        around = shades[value : value + 9].sum() + shades[value + 18 : value + 27].sum()
        if near >= _PEAK * area and near >= 4 * around:
            return True
    return False


def _by_index(masks: Sequence[Seen], counts: Counter[float]) -> Rule:
    """The rule of coloured palettes: 0 is black, and there is one other value."""
    colours: dict[float, int] = {}
    for mask in masks:
        if any(colours.setdefault(value, colour) != colour for value, colour in mask.colours.items()):
            return _by_colours(masks)
    marked = [value for value in counts if value != 0]
    if len(marked) == 1 and _is_black(colours.get(0, 0)):
        value = marked[0]
        words = (
            f"Lesion is where a mask is {value:g}, of the colour {_hex(colours[value])} (masks hold {_contents(masks)})"
        )
        return Rule("value", "in", (value,), words)
    raise _question(masks, [f"{value:g}" for value, _ in counts.most_common() if value != 0])


def _by_colours(masks: Sequence[Seen]) -> Rule:
    counts = _colours(masks)
    marked = [colour for colour in counts if not _is_black(int(colour))]
    if len(marked) == 1 and len(counts) == 2:
        words = f"Lesion is where a mask has the colour {_hex(marked[0])} (masks hold {_contents(masks)})"
        return Rule("colour", "in", (marked[0],), words)
    named = [_hex(colour) for colour, _ in counts.most_common() if not _is_black(int(colour))]
    raise _question(masks, [f"'{name}'" for name in named])


def _alpha_rule(counts: Counter[float], why: str) -> Rule:
    sign, numbers = _by_values(counts, ()) if counts else (">=", (MASK_THRESHOLD,))
    words = f"Lesion is where a mask's alpha channel, {why}, is {_spelt(sign, numbers)}"
    return Rule("alpha", sign, numbers, words)


def _question(masks: Sequence[Seen], suggested: list[str]) -> UserError:
    blurred = any(mask.is_blurred for mask in masks)
    if blurred and (mains := main_colours(_colours(masks))[1:]):
        is_grey = all(mask.kind == "grey" for mask in masks)
        suggested = [str(main & 255) if is_grey else f"'{_hex(main)}'" for main in mains]
    first = f"dataset.lesion={suggested[0]}"
    several = f"dataset.lesion=[{','.join(suggested[:2])}]"
    quoted = (f'"{first}"', f'"{several}"') if suggested[0].startswith("'") else (first, several)
    noise = ", most of them noise of a format that blurs values" if blurred else ""
    for_several = f"{quoted[1]} or dataset.lesion=nonzero for several" if suggested[1:] else "dataset.lesion=nonzero"
    return UserError(
        f"The masks hold {_contents(masks)}{noise}: which of it is lesion? Say so, for instance with {quoted[0]}, or "
        f"with {for_several}."
    )


def _colours(masks: Sequence[Seen]) -> Counter[float]:
    """The colours of all masks, whatever their kind."""
    pooled: Counter[float] = Counter()
    for mask in masks:
        for value, count in mask.counts.items():
            pooled[value if mask.kind == "colour" else mask.colours.get(value, _grey(value))] += count
    return pooled


def _grey(value: float) -> int:
    """A grey level as a colour."""
    return int(min(max(value, 0), 255)) * 0x010101


def _pooled(counts: Iterable[Counter[float]]) -> Counter[float]:
    pooled: Counter[float] = Counter()
    for each in counts:
        pooled.update(each)
    return pooled


def _contents(masks: Sequence[Seen]) -> str:
    """What masks hold, in words."""
    if any(mask.kind == "colour" for mask in masks):
        return _listed(_colours(masks), _hex)
    palette = {value: colour for mask in masks for value, colour in mask.colours.items()}
    spell = (lambda value: f"{value:g} = {_hex(palette.get(value, 0))}") if palette else "{:g}".format
    return _listed(_pooled(mask.counts for mask in masks), spell)


def _listed(counts: Counter[float], spell: Callable[[float], str] = "{:g}".format) -> str:
    total = sum(counts.values())
    if not total:
        return "nothing"
    shown = counts.most_common() if len(counts) <= _LISTED else counts.most_common(_LISTED // 2)
    parts = [f"{spell(value)} ({_share(count / total)})" for value, count in sorted(shown)]
    more = f" and {counted(len(counts) - len(shown), 'more value')}" if len(counts) > len(shown) else ""
    return ", ".join(parts) + more


def _share(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.4g} %"


def _spelt(sign: str, numbers: tuple[float, ...]) -> str:
    if sign == ">=":
        return f"at least {numbers[0]:g} of 255"
    return " or ".join(f"{number:g}" for number in numbers)


def _hex(colour: float) -> str:
    return f"#{int(colour):06x}"


def _is_black(colour: int) -> bool:
    return max(colour >> 16, (colour >> 8) & 255, colour & 255) <= COLOUR_TOLERANCE


def _near(colours: NDArray, wanted: Iterable[float]) -> NDArray[np.bool_]:
    """Where colours are within ``COLOUR_TOLERANCE`` of one of those wanted, in each channel."""
    channels = [(colours >> shift) & 255 for shift in (16, 8, 0)]
    found = np.zeros(colours.shape, dtype=bool)
    for colour in map(int, wanted):
        parts = [(colour >> shift) & 255 for shift in (16, 8, 0)]
        apart = [np.abs(channel.astype(np.int32) - part) for channel, part in zip(channels, parts, strict=True)]
        found |= np.maximum.reduce(apart) <= COLOUR_TOLERANCE
    return found
