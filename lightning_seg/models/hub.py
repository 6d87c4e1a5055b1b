"""Files of the Hugging Face hub: from the cache or downloaded, with one quick look whether the hub is within reach."""

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError

WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # what repositories call them
REACH_SECONDS = 5  # for an answer from each address of the hub

logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its warnings come twice, through two handlers


def hub_file(repository: str, filenames: Sequence[str], revision: str = "main") -> Path:
    """The first of ``filenames`` that ``repository`` has, from the cache or else downloaded.

    Raises:
        OSError: none is cached, and the hub is out of reach, refuses or has none of them. A process asks once and then
            remembers, so that a grid does not wait for the hub in every cell.
    """
    for filename in filenames:
        if isinstance(cached := try_to_load_from_cache(repository, filename, revision=revision), str):
            return Path(cached)
    found = _ask(repository, tuple(filenames), revision)
    if isinstance(found, OSError):
        raise found.with_traceback(None)  # the frames of an earlier run hold its tensors
    return Path(hf_hub_download(repository, found, revision=revision))


@cache
def _ask(repository: str, filenames: tuple[str, ...], revision: str) -> str | OSError:
    """Which file the hub has, or why none can be had; without the retries of a download, which take half a minute."""
    for filename in filenames:
        try:
            get_hf_file_metadata(hf_hub_url(repository, filename, revision=revision), timeout=REACH_SECONDS)
            return filename
        except EntryNotFoundError:
            continue
        except Exception as error:  # of the HTTP client, which depends on the hub's version
            return OSError(f"{repository}: {type(error).__name__}: {error}")
    return FileNotFoundError(f"{repository} holds none of {', '.join(filenames)}")
