"""Backends: one folder each, found by name."""
