"""Runs within the GPU image, without a device: every kernel, compiled by the image's NVRTC for each chip it serves."""

from __future__ import annotations

import io
import json
import sys

import cupy.cuda.compiler
from cupy.cuda import nvrtc

from gpusmote.backends import kernels

CHIPS = ("sm_70", "sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")


def main() -> None:
    files = sorted(path.name for path in kernels.folder().glob("*.cu"))
    for chip in CHIPS:
        for file in files:
            program = cupy.cuda.compiler._NVRTCProgram(kernels.source(file), file, method="cubin")
            options = (*kernels.OPTIONS, "-ftz=true", f"-arch={chip}", "--device-as-default-execution-space")
            binary, _ = program.compile(options, io.StringIO())
            if not binary.startswith(b"\x7fELF"):
                sys.exit(f"{file} for {chip}: NVRTC gave no cubin")
    print(json.dumps({"nvrtc": ".".join(map(str, nvrtc.getVersion())), "chips": CHIPS, "kernels": files}))


if __name__ == "__main__":
    main()
