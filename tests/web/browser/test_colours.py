"""The page's thumbnails have the colours in which Chromium shows the originals."""

import base64
import importlib.util
import io
from pathlib import Path

import numpy as np
from PIL import Image

from deep_ranking.web.thumbnails import make_thumbnail

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def test_thumbnails_look_as_the_originals_do(browser, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("photo_forms", BENCHMARKS / "photo_forms.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    x, y = np.meshgrid(np.linspace(0, 255, 160), np.linspace(0, 255, 120))
    photo = np.rint(np.stack([x, y, 255 - (x + y) / 2], -1)).astype(np.uint8)
    bright = np.rint(np.clip(made.pq(photo) + 0.2, 0, 192 / 255) * 255).astype(np.uint8)  # up to 1,000 nits
    hdr = made.png(bright, (b"cICP", bytes([9, 16, 0, 1])))
    names = ["Display P3", "Adobe RGB", "ProPhoto", "linear RGB", "PNG, gAMA 1.0", "PNG, cICP P3"]
    files = {name: made.COLOURS[name][0](photo) for name in names}
    files |= {
        name: made.GREYS[name][0](photo) for name in ("grey, gamma 1.8", "grey, dot gain", "grey, gamma 1.0")
    }
    apart = {}
    page = browser.new_page(viewport={"width": 320, "height": 240})
    for name, data in (files | {"HDR": hdr}).items():
        shown = [
            shot(page, content, kind)
            for content, kind in ((data, kind_of(data)), (make_thumbnail(data, 160), "webp"))
        ]
        corners = [image.reshape(4, 30, 4, 40, 3).mean((1, 3)) for image in shown]
        apart[name] = float(np.abs(corners[0] - corners[1]).max())
    page.close()
    assert max(apart.values()) < 6, apart


def kind_of(data: bytes) -> str:
    return "png" if data[1:4] == b"PNG" else "jpeg"


def shot(page, data: bytes, kind: str) -> np.ndarray:
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    page.set_content(f'<body style="margin:0"><img style="display:block" src="{source}">')
    page.wait_for_function("document.images[0].complete && document.images[0].naturalWidth == 160")
    taken = page.screenshot(clip={"x": 0, "y": 0, "width": 160, "height": 120})
    return np.asarray(Image.open(io.BytesIO(taken)).convert("RGB")).astype(float)
