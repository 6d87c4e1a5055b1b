"""Weights & Biases made harmless: it never prompts and never hangs."""

import hashlib
import logging
import netrc
import os
import threading
from typing import Any, Literal
from urllib.parse import urlparse

log = logging.getLogger(__name__)

SERVER = "https://api.wandb.ai"
PATIENCE_SECONDS = 60.0  # for a server that does not answer
unreachable = threading.Event()  # it has not answered once, so the process asks no more


def run_id(*address: str) -> str:
    """Id of the W&B run with this address, the same each time, so that a run which is started again goes on."""
    return hashlib.sha256("/".join(address).encode()).hexdigest()[:16]


def start_run(mode: Literal["auto", "online", "offline"], **arguments: Any) -> Any:
    """Start a W&B run without ever asking; online, an earlier run of the same id is continued.

    Args:
        mode: ``online``, ``offline``, or ``auto``: what ``WANDB_MODE`` says, else online where a login exists, else
            offline. Without an answer of the server, this run and all later ones of the process are kept offline.
        arguments: of ``wandb.init``.
    """

    import wandb

    def start(mode: Any) -> Any:
        return wandb.init(
            mode=mode,
            resume="allow" if mode == "online" else None,
            reinit="create_new",  # should an earlier run not have ended, it must not be continued
            settings=wandb.Settings(silent=True, console="off", init_timeout=PATIENCE_SECONDS),
            **arguments,
        )

    chosen = str(mode)
    if mode == "auto":
        chosen = os.environ.get("WANDB_MODE") or ("online" if has_login() else "offline")
    if chosen != "online":
        return start(chosen)
    if not unreachable.is_set():
        try:
            return start("online")
        except Exception as error:
            unreachable.set()
            log.warning(
                "W&B cannot be reached (%s); runs stay on this disk and `lightning-seg sync` uploads them later.",
                in_one_line(error),
            )
            wandb.teardown()  # of the service, which would go on asking under the same id
    return start("offline")


def has_login() -> bool:
    """Whether W&B can be used online without asking: an API key in the environment or in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", SERVER)).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def in_one_line(error: Exception) -> str:
    """An error's kind and message."""
    return " ".join(f"{type(error).__name__}: {error}".split())
