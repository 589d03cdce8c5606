"""Backends: one folder each, found by its name.

A backend's package exports `build(compilation, *, threads, single, check, code)`, which gives an object with

    run(arrays) -> list of results      fitting arrays in, visible results out; parameters are updated in place
    bind(checked) -> callable           optional: a faster way to call than `checked`, which looks at every argument in Python

and whatever else programs of this backend can do; `Executable` passes unknown attributes on to it.
A backend that makes code ahead of time also exports `pack(compilation, targets, *, threads, check)`: a list of bytes, which `build` takes as
`code` on any machine and makes anew where none of it fits.
`compilation` (graphdl.pipeline.Compilation) holds the declared graph and, when asked, the rewritten one.
"""
