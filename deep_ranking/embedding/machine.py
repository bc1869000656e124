"""What this machine has that decides how fast a network runs."""

import platform
from functools import cache
from pathlib import Path

import keras


@cache
def multiplies_bfloat16() -> bool:
    """Tell whether the processor multiplies bfloat16 by itself: AVX512-BF16, AMX, or Arm's BF16.

    Without it bfloat16 is emulated and slower than float32. Known on Linux; elsewhere taken as no.
    """
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False
    wanted = {"bf16"} if platform.machine() == "aarch64" else {"avx512_bf16", "amx_bf16"}
    return not flags.isdisjoint(wanted)


def has_accelerator() -> bool:
    """Tell whether the backend computes on a GPU or TPU."""
    # Asked for a kind of device that it has not, JAX raises.
    return any(not name.lower().startswith("cpu") for name in keras.distribution.list_devices())
