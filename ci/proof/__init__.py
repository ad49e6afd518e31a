"""The parts of ``ci/gpu``: what turns claims about the CUDA path into evidence from a device."""
