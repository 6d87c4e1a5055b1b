"""One file a dataset: which image belongs to which mask."""
