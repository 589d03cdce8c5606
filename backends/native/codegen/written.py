"""The kernel functions of a module, found again by the form of what they compute: what is equal is written once.

Functions of different forms may still be the same text; of those the first is kept.
"""

from __future__ import annotations

from dataclasses import replace

from graphdl.kernel.expression import Buffer
from graphdl.sizes import Dim

from ..contraction import Chooser, Shape
from ..llvm import Module
from ..target import Target
from .affine import Flat
from .form import Form, Key, form_of_nest
from .function import Arguments, KernelFunction
from .nest import NestSchedule, emit_nest
from .product import Product
from .product_kernel import ProductKernels, emit_product


class WrittenFunctions:
    """What a module has, by form and by text."""

    def __init__(self, module: Module, target: Target, choose: Chooser) -> None:
        self.module = module
        self.target = target
        self.choose = choose
        self._nests: dict[Key, tuple[Form, str, Arguments]] = {}
        self._products: dict[Key, tuple[Form, ProductKernels]] = {}
        self._texts: dict[str, str] = {}
        self._first: dict[str, str] = {}

    def nest(self, name: str, flat: Flat, schedule: NestSchedule, *, may_stream: bool) -> tuple[str, Arguments]:
        """The function of a nest, written as `name` if there is none, and what it takes here."""
        form = form_of_nest(flat)
        loops = len(schedule.outer), len(schedule.inner), schedule.vector and flat.axes.index(schedule.vector)
        key = (form.key, schedule.kind, *loops, schedule.lanes, schedule.single, schedule.block, may_stream)
        if key in self._nests:
            other, known, arguments = self._nests[key]
            return known, form.arguments_of(other, arguments)
        kernel = KernelFunction(self.module, self.target, name)
        emit_nest(kernel, flat, schedule, may_stream=may_stream)
        self._nests[key] = form, name, kernel.arguments
        return name, kernel.arguments

    def product(self, name: str, shared: Flat, product: Product, shape: Shape[Dim]) -> ProductKernels:  # type: ignore[type-var]
        """The functions of the product that the nest `shared` is, and what they take here; packed operands have buffers of their own."""
        form = form_of_nest(shared)
        pieces = product.pieces and (product.pieces.run, product.pieces.written)
        key = (form.key, shape.batch, shape.m, shape.n, shape.k, pieces)
        if key not in self._products:
            self._products[key] = form, emit_product(self.module, self.target, name, product, shape, self.choose)
            return self._products[key][1]
        other, made = self._products[key]
        packed = {buffer: replace_buffer(buffer) for buffer in (made.packed_a, made.packed_b)}
        arguments = form.arguments_of(other, made.arguments).renamed(packed, {})
        return replace(made, arguments=arguments, packed_a=packed[made.packed_a], packed_b=packed[made.packed_b])

    def first(self, name: str) -> str:
        """The function that is the same text as `name`: of several the first, and the others are dropped."""
        if name not in self._first:
            text = str(self.module.functions[name]).replace(f"@{name}(", "@(")
            self._first[name] = self._texts.setdefault(text, name)
            if self._first[name] != name:
                del self.module.functions[name]
        return self._first[name]


def replace_buffer(buffer: Buffer) -> Buffer:
    """Memory like it, for another step."""
    return Buffer(buffer.name, buffer.type, buffer.kind)
