"""Which images a run was tested on, and how well: read from its files, which may come from anywhere."""

from lightning_seg.catalogue import COUNTS, METRICS
from lightning_seg.errors import UnreadableError, UserError
from lightning_seg.files import read_json, read_table
from lightning_seg.runs.folder import RunFolder

_LARGEST_COUNT = 10**9  # pixels


def tested_images(folder: RunFolder) -> list[dict[str, str]]:
    """The rows of a run's table of test images, with ``id``, whole counts and finite scores.

    Raises:
        UserError: there is no such table, or it is damaged.
    """
    try:
        rows = read_table(folder.test_images)
        for row in rows:
            counts, scores = [int(row[name]) for name in COUNTS], [float(row[name]) for name in METRICS]
            in_range = all(0 <= count < _LARGEST_COUNT for count in counts) and all(0 <= score <= 1 for score in scores)
            if not (row["id"] and in_range):
                raise UnreadableError(f"the row of {row['id']!r} holds values that cannot be")
    except FileNotFoundError as error:
        raise UserError(f"{folder.test_images} is missing, and a run's test images are named there.") from error
    except KeyError as error:
        raise UserError(f"{folder.test_images} cannot be read (it lacks {error.args[0]!r}).") from error
    except ValueError as error:
        raise UserError(f"{folder.test_images} cannot be read ({error}).") from error
    if not rows:
        raise UserError(f"{folder.test_images} is empty, and a run's test images are named there.")
    return rows


def tested_ids(folder: RunFolder) -> list[str]:
    """The ids of a run's test images, by its split.

    Raises:
        UserError: the split is missing or damaged.
    """
    try:
        ids = read_json(folder.split)
        tested = ids.get("test") if isinstance(ids, dict) else None
        if not isinstance(tested, list) or not all(isinstance(each, str) for each in tested):
            raise UnreadableError("it lists no test images")
    except FileNotFoundError as error:
        raise UserError(f"{folder.split} is missing, and it says which images a run was tested on.") from error
    except UnreadableError as error:
        raise UserError(f"{folder.split} cannot be read ({error}).") from error
    return tested
