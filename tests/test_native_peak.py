"""Measured peaks are plausible, and the kernels that measure them compile for every target."""

from __future__ import annotations

import pytest

from graphdl.backends.native.llvm import F32, F64, Module
from graphdl.backends.native.runtime import jit, peak
from graphdl.backends.native.target import FAMILIES, host


@pytest.mark.parametrize("threads", [1, 2])
def test_peaks_are_plausible(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(peak, "_BUDGET", 0.01)
    found = peak.measure_peaks.__wrapped__(host(), threads)
    assert found.threads == threads
    assert 1e8 < found.fma_flops_f32 < 1e15
    assert 1e8 < found.fma_flops_f64 < 1e15
    assert 1e8 < found.read_bytes_per_second < 1e13
    assert 1e8 < found.copy_bytes_per_second < 1e13


@pytest.mark.parametrize("family", FAMILIES)
def test_compiles_for_every_target(family: str) -> None:
    target = FAMILIES[family]
    module = Module(target_triple=target.triple)
    for scalar in (F32, F64):
        assert peak._emit_fma(module, target, scalar) > 0
    assert peak._emit_read(module, target) == 8 * target.vector_bytes
    for nontemporal in (False, True):
        peak._emit_copy(module, target, nontemporal)
    assert jit.compile_object(str(module), target, verify=True)
