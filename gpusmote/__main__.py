"""``python -m gpusmote``, the same as ``gpusmote``."""

from __future__ import annotations

import sys

from gpusmote.cli import main

if __name__ == "__main__":
    sys.exit(main())
