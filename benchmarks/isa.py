"""Holding a process to the instructions of a lesser processor than the one that it runs on."""

import os
import sys

# Each library asks the processor by itself.
VARIABLES = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch's own kernels, and those that inductor writes
        "ONEDNN_MAX_CPU_ISA": "AVX2",  # products of prepacked weights, and all in half precision
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",  # other products; on AMD its kernels are AVX2 anyway
        "TORCHINDUCTOR_CPP_MARCH": "x86-64-v3",  # what the compiler makes of inductor's kernels
    }
}


def hold_to(isa: str | None) -> None:
    """Start the program anew with the variables set, unless they are; do nothing for None."""
    wanted = VARIABLES[isa] if isa else {}
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        sys.stdout.flush()
        os.execve(sys.executable, sys.orig_argv, {**os.environ, **wanted})
