"""What LLVM calls the processor this runs on. Asking it means to load it, which takes longer than loading a program, so its answer is kept."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from graphdl.record import record

_PROCESSORS = Path("/proc/cpuinfo")
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_MOST = 1 << 14  # bytes: one processor of many


@record(slots=True)
class Processor:
    """`features` are all that LLVM knows of, with commas between: `+avx2,-sse4a`."""

    triple: str
    cpu: str
    features: str

    @property
    def present(self) -> frozenset[str]:
        """The features that are there."""
        return frozenset(feature[1:] for feature in self.features.split(",") if feature.startswith("+"))


def this_processor() -> Processor:
    """From the cache, where the same system on the same processor has asked since it was started; else from LLVM."""
    from graphdl.backends.native.runtime.cache import default_cache, plain_key

    told = _told_by_system()
    if told is None:
        return _asked()
    key = plain_key("processor", told)
    found = _kept(default_cache().get(key))
    if found is None:
        found = _asked()
        default_cache().put(key, json.dumps(asdict(found)).encode())
    return found


def _told_by_system() -> str | None:
    """The first processor in the system's words and the number of its start, if it tells them. Its clock changes all the time."""
    try:
        with _PROCESSORS.open("rb") as file:
            first = file.read(_MOST).partition(b"\n\n")[0].decode(errors="replace")
        lines = [line for line in first.splitlines() if not line.startswith("cpu MHz")]
        return "\n".join([*lines, _BOOT.read_text()])
    except OSError:
        return None


def _kept(data: bytes | None) -> Processor | None:
    try:
        values = json.loads(data or b"null")
        found = Processor(**values) if isinstance(values, dict) else None
    except (ValueError, TypeError):
        return None
    return found if found is None or all(isinstance(value, str) for value in asdict(found).values()) else None


def _asked() -> Processor:
    import llvmlite.binding as llvm

    return Processor(llvm.get_default_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
