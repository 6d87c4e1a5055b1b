"""How numbers and names are put into words, the same wherever a user meets them."""

LONGEST_LABEL = 24  # characters of a name in a figure


def duration(seconds: float) -> str:
    """A duration in its two largest units: ``"3 d 4 h"``, ``"2 h 10 min"``, ``"45 s"``."""
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if days >= 1:
        return f"{int(days)} d {int(hours % 24)} h"
    if hours >= 1:
        return f"{int(hours)} h {int(minutes % 60)} min"
    return f"{int(minutes)} min {int(seconds % 60)} s" if minutes >= 1 else f"{seconds:.0f} s"


def short(name: str) -> str:
    """A name as it fits into a figure: a long one loses its middle, since its beginning and end tell it from others."""
    if len(name) <= LONGEST_LABEL:
        return name
    end = (LONGEST_LABEL - 1) // 2
    return f"{name[: LONGEST_LABEL - 1 - end]}…{name[-end:]}"


def byte_count(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
