"""Hydra's extension point: it accepts plugins of this namespace package only."""

from lightning_seg.sweep import grid, search


class GridSweeper(grid.GridSweeper):
    """:class:`lightning_seg.sweep.grid.GridSweeper` under a name that Hydra finds."""


class SearchSweeper(search.SearchSweeper):
    """:class:`lightning_seg.sweep.search.SearchSweeper` under a name that Hydra finds."""
