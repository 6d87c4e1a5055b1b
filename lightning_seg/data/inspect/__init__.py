"""What is in a dataset: figures, oddities, duplicates, and whether splits keep siblings apart."""

from lightning_seg.data.inspect.measure import Inspection, inspect_dataset
from lightning_seg.data.inspect.page import write_page
from lightning_seg.data.inspect.table import summary_table

__all__ = ["Inspection", "inspect_dataset", "summary_table", "write_page"]
