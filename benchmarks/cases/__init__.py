"""One file per case, each with a `CASE`."""
