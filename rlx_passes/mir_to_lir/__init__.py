"""From tensor ops to kernel forms: `convert-mir-to-lir`, with its lowering rules by op family beside it."""
