"""The exact k nearest rows: candidates from any fast search, re-ranked in float64, certified."""

from __future__ import annotations

from gpusmote.neighbours.neighbourhood import Neighbourhood
from gpusmote.neighbours.searched import Approximation, SearchReport

__all__ = ["Approximation", "Neighbourhood", "SearchReport"]
