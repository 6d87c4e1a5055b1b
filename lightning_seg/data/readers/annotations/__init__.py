"""Annotations instead of masks: COCO, LabelMe, CVAT, YOLO and VIA.

Each module reads one kind of file: ``is_it`` tells from the content whether it is of this kind, and ``read`` gives the
shapes of each image that it names. What is no outline (boxes, points, lines) is refused: a box is no lesion.
"""

from lightning_seg.data.readers.annotations.find import Annotated, find_annotations

__all__ = ["Annotated", "find_annotations"]
