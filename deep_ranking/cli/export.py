"""Write a trained model for another runtime, and check it there against the model."""

import argparse
import json
from pathlib import Path

from deep_ranking.cli import checks, shared
from deep_ranking.errors import DeepRankingError

EXAMPLES = {
    "--format onnx --output deepranking.onnx": "deepranking.h5 for ONNX Runtime",
    "--model mine.h5 --format openvino --output mine.xml": "another model, for OpenVINO",
}
MAIN = ("model", "format", "output")

ENDINGS = {"onnx": ".onnx", "openvino": ".xml", "litert": ".tflite", "saved_model": ""}
"""The formats of `embedding.export.FORMATS`, without what that imports."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    shared.add_model(parser, "a trained model")
    parser.add_argument("--format", required=True, choices=tuple(ENDINGS), help="of the runtime")
    parser.add_argument("--output", required=True, help="NAME.onnx, NAME.xml, NAME.tflite, or a new folder")
    shared.add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Export and say how near the result is."""
    if Path(args.output).suffix != (ending := ENDINGS[args.format]):
        wanted = f"a name that ends in {ending}" if ending else "the name of a folder, without an ending"
        raise DeepRankingError(f"{args.output}: expected {wanted} for the format {args.format}")
    if ending:
        checks.output(args.output)
    checks.model(model := args.model or shared.MODEL)
    cosine = shared.embedding_model(model).export(args.output, args.format)
    if args.json:
        print(json.dumps({"output": args.output, "format": args.format, "cosine": cosine}))
    else:
        print(f"{args.output}: checked, cosine to the model {cosine:.6f}")
        shared.tell(args, "it takes float32 RGB 0..255, (batch, height, width, 3): docs/search.md")
