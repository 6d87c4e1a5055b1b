"""From the publisher's archive to a verified folder of the right files."""

from lightning_seg.data.prepare.prepare import prepare
from lightning_seg.data.prepare.sources import SOURCES, Source, source_of

__all__ = ["SOURCES", "Source", "prepare", "source_of"]
