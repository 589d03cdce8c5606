"""From steps of the kernel language to LLVM IR."""
