"""How long the runs without a result will take, learnt from those with one."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import mean, median

from lightning_seg.catalogue import DATASETS, NETWORKS
from lightning_seg.studies.cost import static_cost

Pair = tuple[str, str]  # dataset, model
Seconds = Mapping[str, float]  # of the parts of a run, as its record has them
_DATA = "data"  # the part in which images are decoded, or the decoded ones opened


def seconds_left(finished: Mapping[Pair, Sequence[Seconds]], waiting: Mapping[Pair, int]) -> float | None:
    """Seconds that waiting runs will take, one after the other; a running one counts in full.

    A run is taken to last as the mean of its dataset and model. Where nothing of the two has finished, it is the mean
    of all, times how much slower than that the dataset's and the model's runs are. Where the model or the dataset is
    new, it takes as much more or less as its multiply-accumulates and images do, if these are published.

    Args:
        finished: what finished runs have taken, by dataset and model.
        waiting: how many runs there are of each dataset and model.

    Returns:
        ``None`` if that is not known yet: nothing has finished that tells of each waiting run. 0 if none waits.
    """
    known = _mean_seconds(finished)
    left = 0.0
    for pair, count in waiting.items():
        seconds = _expected(pair, known) if count else 0.0
        if seconds is None:
            return None
        left += count * seconds
    return left


def _mean_seconds(finished: Mapping[Pair, Sequence[Seconds]]) -> dict[Pair, float]:
    """Seconds of a run of each dataset and model, without what only the first run of a dataset does: decode it."""
    opening: dict[str, list[float]] = defaultdict(list)
    for (dataset, _), runs in finished.items():
        opening[dataset] += [seconds.get(_DATA, 0.0) for seconds in runs]
    return {
        (dataset, model): mean(sum(seconds.values()) - seconds.get(_DATA, 0.0) for seconds in runs)
        + (min(opening[dataset]) if len(opening[dataset]) > 1 else 0.0)
        for (dataset, model), runs in finished.items()
        if runs
    }


def _expected(pair: Pair, known: Mapping[Pair, float]) -> float | None:
    if pair in known:
        return known[pair]
    dataset, model = pair
    of_dataset = [seconds for (name, _), seconds in known.items() if name == dataset]
    of_model = [seconds for (_, name), seconds in known.items() if name == model]
    if of_dataset and of_model:
        return mean(of_dataset) * mean(of_model) / mean(known.values())
    if not ((of_dataset or dataset in DATASETS) and (of_model or model in NETWORKS)):
        return None
    rates = [
        seconds / static_cost(*each)
        for each, seconds in known.items()
        if (each[0] == dataset or {each[0], dataset} <= DATASETS.keys())
        and (each[1] == model or {each[1], model} <= NETWORKS.keys())
    ]
    return median(rates) * static_cost(*pair) if rates else None
