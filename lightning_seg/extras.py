"""How to install what an extra of this package needs."""

import shlex
from importlib.metadata import PackageNotFoundError, requires


def install_line(extra: str) -> str:
    """The line that installs an extra, such as ``pip install 'onnx>=1.16'``.

    It names the packages themselves, since pip looks for no name on an index that this package may not be on.

    Args:
        extra: its name in ``pyproject.toml``.
    """
    try:
        wanted = requires("lightning-seg") or []
    except PackageNotFoundError:  # used from a folder that nothing has installed
        wanted = []
    apart = [text.partition(";") for text in wanted]
    names = [name.strip() for name, _, marker in apart if f"extra == '{extra}'" in marker.replace('"', "'")]
    return shlex.join(["pip", "install", *names]) if names else f"pip install -e '.[{extra}]'"
