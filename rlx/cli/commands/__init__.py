"""The subcommands of `rlx`, one module each."""
