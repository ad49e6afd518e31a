"""The exact k nearest rows: candidates from any fast search, re-ranked in float64, certified."""

from __future__ import annotations

from gpusmote.neighbors.report import Approximation, SearchReport
from gpusmote.neighbors.search import NeighborSearch

__all__ = ["Approximation", "NeighborSearch", "SearchReport"]
