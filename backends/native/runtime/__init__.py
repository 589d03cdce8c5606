"""What runs compiled code: object files, their cache on disk, threads, and calls from Python."""
