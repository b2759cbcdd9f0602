"""Sentence embeddings with all-MiniLM-L6-v2 (extra `demo`).

    python examples/minilm.py [--target cpu] [SENTENCE …]
    python examples/minilm.py --text > examples/minilm.mlir     # the model as HIR
"""

import argparse
import sys

import numpy as np

import rlx

SENTENCES = ["The cat sits on the mat.", "A cat is sitting on a rug.", "Stocks fell."]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sentences", nargs="*", default=SENTENCES)
    parser.add_argument("--target", default="cpu")
    parser.add_argument("--text", action="store_true", help="print the model and stop")
    args = parser.parse_args(arguments)

    model, weights = rlx.models.minilm()
    if args.text:
        sys.stdout.write(model.as_text())
        return 0

    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(rlx.models.minilm_folder() / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(256)
    batch = tokenizer.encode_batch(args.sentences)

    encode = rlx.compile(model, target=args.target, weights=weights)
    _, embeddings = encode(np.array([e.ids for e in batch]), np.array([e.attention_mask for e in batch]))
    similarity = embeddings @ embeddings.T
    for sentence, row in zip(args.sentences, similarity):
        print(" ".join(f"{value:6.3f}" for value in row), " ", sentence)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
