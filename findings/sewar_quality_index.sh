#!/bin/bash
# The universal quality index of sewar (uqi), of two pictures that have nothing to do with each other.
# Guessed before it was run: near 0, as by the definition (Wang and Bovik 2002): correlation times likeness in contrast and in mean.
# What comes: 0.85. Means over each window stand where the formula wants sums, so that next to nothing but how bright the two are is
# compared: a picture is more like an unrelated one than like itself in half the light, and noise of a deviation of 40 costs
# 0.06 where it should cost 0.72. The ssim of the same package, with its two constants next to 0, is the index as defined.
# Exits 0 while that is so, 1 if it changes. Needs a network for pip, and python3 with venv.
set -e
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python3 -m venv "$T/venv"
"$T/venv/bin/pip" install --quiet sewar==0.4.10 numpy==2.4.6 scipy==1.17.1 pillow==13.0.0 2>/dev/null
"$T/venv/bin/python" <<'P'
import sys
from importlib.metadata import version
import numpy as np
from scipy.ndimage import uniform_filter
from sewar.full_ref import ssim, uqi

def picture(seed):
    """Waves of all directions, 192 x 192, of mean 128 and deviation 40."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:192, :192]
    waves = sum(np.sin(a * across + b * down + c) for a, b, c in zip(*rng.normal(0, 0.2, (2, 16)), rng.uniform(0, 6.3, 16)))
    return np.clip(128 + 40 * (waves - waves.mean()) / waves.std(), 0, 255).astype(np.uint8)

def defined(one, other, side=8):
    """Mean over all windows of 4 s_xy x y / ((s_x^2 + s_y^2) (x^2 + y^2))."""
    x, y = one.astype(float), other.astype(float)
    mean = lambda values: uniform_filter(values, side)[side:-side, side:-side]
    both, spread = mean(x * y) - mean(x) * mean(y), mean(x * x) + mean(y * y) - mean(x) ** 2 - mean(y) ** 2
    return (4 * both * mean(x) * mean(y) / (spread * (mean(x) ** 2 + mean(y) ** 2))).mean()

def noisy(deviation):
    noise = np.random.default_rng(1).normal(0, deviation, first.shape)
    return np.clip(first + noise, 0, 255).astype(np.uint8)

first = picture(0)
others = {"itself": first, "unrelated": picture(1), "half the light": first // 2, "noise of 5": noisy(5), "noise of 40": noisy(40)}
print(f"sewar {version('sewar')}, SciPy {version('scipy')}")
expected, came = {}, {}
for name, other in others.items():
    expected[name], came[name] = defined(first, other), uqi(first, other)
    as_ssim = ssim(first, other, ws=8, K1=1e-6, K2=1e-6)[0]
    print(f"{name:15s} expected {expected[name]:.3f}, came {came[name]:.3f} (by its ssim without constants {as_ssim:.3f})")
    assert abs(as_ssim - expected[name]) < 0.02
as_found = abs(expected["unrelated"]) < 0.1 and came["unrelated"] > 0.8 and came["unrelated"] > came["half the light"] + 0.1
as_found &= expected["noise of 5"] - expected["noise of 40"] > 0.5 and came["noise of 5"] - came["noise of 40"] < 0.1
sys.exit(not as_found)
P
