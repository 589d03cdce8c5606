"""The native backend: schedules kernels for a target and emits LLVM IR for them."""

from .executable import NativeProgram as build

__all__ = ["build"]
