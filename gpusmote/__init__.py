"""SMOTE and its variants on CUDA GPUs, and the same rows on the CPU."""

__version__ = "0.1.0"
