"""Rewritings of graphs, one file each, found by importing this folder."""
