"""What passes share: locations, verification, diagnostics, rewriting."""
