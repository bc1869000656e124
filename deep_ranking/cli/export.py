"""Write a trained model for another runtime, and check it there against the model."""

import argparse
import json

from deep_ranking.cli import shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    shared.add_model(parser, "a trained model")
    parser.add_argument("--format", required=True, choices=("onnx", "openvino", "litert", "saved_model"))
    parser.add_argument("--output", required=True, help="NAME.onnx, NAME.xml, NAME.tflite, or a new folder")
    shared.add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Export and say how near the result is."""
    cosine = shared.embedding_model(args.model).export(args.output, args.format)
    if args.json:
        print(json.dumps({"output": args.output, "format": args.format, "cosine": cosine}))
    else:
        print(f"{args.output}: checked, cosine to the model {cosine:.6f}")
