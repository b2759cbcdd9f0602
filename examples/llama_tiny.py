"""A small Llama with random weights: one prefill, then token by token through the key/value cache.

    python examples/llama_tiny.py [--target cpu] [--steps 8]
    python examples/llama_tiny.py --text > examples/llama_tiny.mlir     # the model as HIR
"""

import argparse
import sys

import numpy as np

import rlx

CONFIG = {
    "vocab_size": 256, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 2,
    "intermediate_size": 160, "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="cpu")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--text", action="store_true", help="print the model and stop")
    args = parser.parse_args(arguments)

    model = rlx.models.llama(CONFIG, name="llama_tiny", last_logits=True)
    if args.text:
        sys.stdout.write(model.as_text())
        return 0

    decode = rlx.compile(model, target=args.target, weights=rlx.models.random_weights(model))
    state = decode.new_state(B=1)
    tokens = list(b"The key/value cache")
    logits = decode(np.array([tokens]), P=0, state=state)
    for _ in range(args.steps):
        # The new token stands after all the tokens whose keys are in the cache.
        tokens.append(int(logits[0, -1].argmax()))
        logits = decode(np.array([tokens[-1:]]), P=len(tokens) - 1, state=state)
    print("tokens:", *tokens[-args.steps :])

    # The same without the cache: every token at once.
    whole = decode(np.array([tokens]), P=0, state=decode.new_state(B=1))
    print(f"largest difference from recomputation: {np.abs(whole - logits).max():.1e}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
