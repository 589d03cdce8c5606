"""Compilations as bytes: the text of the declared graph, where its nodes come from, and the arrays of its parameters.

Reading gives a compilation whose graph is parsed only when somebody looks at it: a program whose code lies beside it runs without.
"""

from .reading import StoredProgram, read_program
from .writing import textual, write_program

__all__ = ["StoredProgram", "read_program", "textual", "write_program"]
