"""Evaluate the package's losses on the report's scenes, and keep what comes out: run it where a loss has changed.

python scripts/measure_losses.py
"""

from lightning_seg.config.compose import compose_config, plain
from lightning_seg.config.named import build_loss
from lightning_seg.config.variants import survey
from lightning_seg.report.responses import KEPT, keep, respond


def main() -> None:
    names = survey()
    keep({name: (plain(compose_config([f"loss={name}"]).loss), respond(build_loss(name))) for name in names})
    print(f"{KEPT}: {len(names)} losses, {KEPT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
