"""Programs that leave this process: an object file for any target and the C header that declares it."""

from .artifact import Artifact, export_program

__all__ = ["Artifact", "export_program"]
