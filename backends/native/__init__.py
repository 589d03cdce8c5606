"""The native backend: schedules kernels for a target and emits LLVM IR for them."""
