#!/bin/bash
# A network that makes its pictures small itself, by ONNX's Resize: read by ONNX Runtime and by OpenVINO.
# Guessed before it was run: the same numbers but for rounding, or OpenVINO refuses what it does not know.
# What comes: OpenVINO does without antialias, exclude_outside and keep_aspect_ratio_policy, and says nothing. Fine stripes at a
# quarter of the size become coarse ones where they should be grey, and a picture that was to keep its shape is squeezed.
# ONNX Runtime is within rounding of the standard's own evaluator; it is Pillow's resize only where exclude_outside is given.
# Exits 0 while that is so, 1 if it changes. Needs a network for pip, and python3 with venv.
set -e
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python3 -m venv "$T/venv"
"$T/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 numpy==2.4.6 pillow==13.0.0 2>/dev/null
"$T/venv/bin/python" - "$T" <<'P'
import sys
import numpy as np, onnx, onnxruntime, openvino, PIL
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from PIL import Image

stripes = np.tile(np.where(np.arange(128) % 5 < 2, 255, 0).astype(np.float32), (96, 1))
core = openvino.Core()

def three(size, **how):
    """What the standard's evaluator, ONNX Runtime and OpenVINO give for one Resize of height and width."""
    node = helper.make_node("Resize", ["x", "", "", "size"], ["y"], mode="linear", axes=[2, 3], **how)
    ends = [helper.make_tensor_value_info("x", 1, [1, 1, 96, 128])], [helper.make_tensor_value_info("y", 1, [1, 1, "h", "w"])]
    graph = helper.make_graph([node], "resize", *ends, [numpy_helper.from_array(np.array(size), "size")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, f"{sys.argv[1]}/resize.onnx")
    given = {"x": stripes[None, None]}
    session = onnxruntime.InferenceSession(f"{sys.argv[1]}/resize.onnx")
    compiled = core.compile_model(f"{sys.argv[1]}/resize.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return ReferenceEvaluator(model).run(None, given)[0], session.run(None, given)[0], compiled(given)[0]

def apart(one, other):
    return float(abs(one - other).max())

print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}, openvino {openvino.__version__}, Pillow {PIL.__version__}")
pillow = np.asarray(Image.fromarray(stripes).resize((32, 24), Image.BILINEAR))[None, None]
plain = three((24, 32))
as_found = apart(plain[0], plain[1]) < 0.01 and apart(plain[0], plain[2]) < 0.01
for how in ({"antialias": 1}, {"antialias": 1, "exclude_outside": 1}):
    standard, runtime, vino = three((24, 32), **how)
    print(f"{how}: of 255, expected next to 0; ONNX Runtime {apart(runtime, standard):.4f}, OpenVINO {apart(vino, standard):.1f} from the")
    print(f"    standard; OpenVINO {apart(vino, plain[2]):.4f} from its own without; ONNX Runtime {apart(runtime, pillow):.4f} from Pillow")
    print(f"    a standard deviation of {runtime.std():.1f} is left of the stripes, and by OpenVINO {vino.std():.1f}; before {stripes.std():.1f}")
    as_found &= apart(runtime, standard) < 0.01 and apart(vino, standard) > 50 and apart(vino, plain[2]) == 0
    as_found &= (apart(runtime, pillow) < 0.01) == ("exclude_outside" in how) and vino.std() > 5 * runtime.std()
for policy, expected in (("not_larger", (24, 32)), ("not_smaller", (32, 43))):
    shapes = [found.shape[2:] for found in three((32, 32), keep_aspect_ratio_policy=policy)]
    print(f"{policy} than 32 x 32, of 96 x 128: expected {expected}; standard, ONNX Runtime, OpenVINO: {shapes}")
    as_found &= shapes == [expected, expected, (32, 32)]
sys.exit(not as_found)
P
