"""Write a trained model for another runtime, and check it there against the model."""

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--model", default="deepranking.h5", help="a trained model (default: deepranking.h5)")
    parser.add_argument("--format", required=True, choices=("onnx", "openvino", "litert", "saved_model"))
    parser.add_argument("--output", required=True, help="NAME.onnx, NAME.xml, NAME.tflite, or a new folder")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> None:
    """Export and say how near the result is."""
    from deep_ranking.cli.shared import import_keras

    import_keras()
    from deep_ranking.embedding import Model
    from deep_ranking.embedding.export import export

    cosine = export(Model.load(args.model), args.output, args.format)
    if args.json:
        print(json.dumps({"output": args.output, "format": args.format, "cosine": cosine}))
    else:
        print(f"{args.output}: checked, cosine to the model {cosine:.6f}")
