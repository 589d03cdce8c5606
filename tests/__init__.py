"""The tests, and the slow definitions that they compare with."""
