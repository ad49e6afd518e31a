"""Tables in files, larger than memory if need be; pyarrow is loaded when :func:`resample_file` is called."""

from __future__ import annotations

from gpusmote.files.api import Progress, resample_file
from gpusmote.files.report import FileReport

__all__ = ["FileReport", "Progress", "resample_file"]
