"""The flags that say what runs a network over images."""

import argparse
import sys


def add_arguments(parser: argparse._ActionsContainer) -> None:
    """Declare the flags; they are what `Embedder.load` takes."""
    parser.add_argument(
        "--engine",
        choices=("auto", "keras", "openvino"),
        default="auto",
        help="what runs the network; auto: openvino on a processor where it is installed, several times "
        "faster; else keras (default: auto)",
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="float32",
        help="of the engine openvino; auto: bfloat16 if the processor has it, twice as fast, with distances "
        "that differ in the third digit (default: float32)",
    )


def tell(args: argparse.Namespace) -> None:
    """Say in a line on standard error what the flags come to on this machine; import Keras before."""
    import keras

    from deep_ranking.embedding.engines import resolve

    engine, precision = resolve(args.engine, args.precision)
    name = {"openvino": "OpenVINO", "keras": f"Keras on {keras.backend.backend()}"}[engine]
    if not args.quiet:
        print(f"embedding with {name} in {precision}", file=sys.stderr)
