"""The exact k nearest rows: candidates from any fast search, re-ranked in float64, certified."""

from __future__ import annotations

from gpusmote.neighbours.neighbourhood import Neighbourhood, SearchReport

__all__ = ["Neighbourhood", "SearchReport"]
