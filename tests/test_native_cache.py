"""The object cache: what it returns is what was put, or nothing, whatever happens to the disk."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import stat
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from graphdl.backends.native.runtime import cache, jit
from graphdl.backends.native.runtime.cache import ObjectCache, cached_object, key_of
from graphdl.backends.native.target import host
from graphdl.errors import BackendError

IR = "define i64 @answer() {\n  ret i64 42\n}\n"
KEYS = [f"{k:064x}" for k in range(20)]


@pytest.fixture(autouse=True)
def forget_warnings() -> Iterator[None]:
    cache._warned.clear()
    yield
    cache._warned.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "cache"


def test_gives_back_what_was_put(folder: Path) -> None:
    store = ObjectCache(folder)
    assert store.get(KEYS[0]) is None
    for key, data in zip(KEYS, [b"", b"x", b"data" * 100_000], strict=False):
        store.put(key, data)
        assert store.get(key) == ObjectCache(folder).get(key) == data
    store.put(KEYS[0], b"newer")
    assert store.get(KEYS[0]) == b"newer"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(entry.stat().st_mode) == 0o600 for entry in folder.iterdir())
    store.clear()
    assert not list(folder.iterdir())


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "A" * 64, "0" * 63])
def test_refuses_what_is_no_key(folder: Path, key: str) -> None:
    with pytest.raises(ValueError, match="not a cache key"):
        ObjectCache(folder).put(key, b"")


def test_keys_depend_on_every_part() -> None:
    here = host()
    other = replace(here, cpu="generic")
    keys = [key_of(*parts, target=here) for parts in [("a", "b"), ("ab",), ("a", "b", ""), (b"a", "c"), ()]] + [key_of("a", "b", target=other)]
    assert len(set(keys)) == len(keys)
    assert keys[0] == key_of(b"a", "b", target=here)


def test_damaged_entries_are_dropped(folder: Path) -> None:
    store, data, chance = ObjectCache(folder), random.Random(1).randbytes(300), random.Random(2)
    for _ in range(300):
        store.put(KEYS[0], data)
        path = folder / KEYS[0]
        content = bytearray(path.read_bytes())
        damage = chance.randrange(4)
        if damage == 0:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        elif damage == 1:
            del content[chance.randrange(len(content)) :]
        elif damage == 2:
            content += chance.randbytes(chance.randint(1, 50))
        else:
            content = bytearray(chance.randbytes(chance.randrange(400)))
        path.write_bytes(content)
        assert store.get(KEYS[0]) is None
        assert not path.exists()


def test_entry_that_is_no_file(folder: Path, tmp_path: Path) -> None:
    store = ObjectCache(folder)
    store.put(KEYS[1], b"sound")
    (tmp_path / "elsewhere").write_bytes((folder / KEYS[1]).read_bytes())
    (folder / KEYS[0]).symlink_to(tmp_path / "elsewhere")
    assert store.get(KEYS[0]) is None
    os.mkfifo(folder / KEYS[2])
    assert store.get(KEYS[2]) is None
    (folder / KEYS[3]).mkdir()
    assert store.get(KEYS[3]) is None
    assert (tmp_path / "elsewhere").exists()
    assert store.get(KEYS[1]) == b"sound"


@pytest.mark.parametrize("fault", ["others may write", "symbolic link", "someone else's", "a file"])
def test_untrusted_folders_are_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    ObjectCache(folder).put(KEYS[0], b"data")
    if fault == "others may write":
        folder.chmod(0o777)
    elif fault == "symbolic link":
        folder.rename(tmp_path / "real")
        folder.symlink_to(tmp_path / "real")
    elif fault == "someone else's":
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    else:
        folder.rename(tmp_path / "real")
        folder.write_bytes(b"")
    store = ObjectCache(folder)
    with pytest.warns(RuntimeWarning, match="the object cache"):
        assert store.get(KEYS[0]) is None
    store.put(KEYS[1], b"data")  # a second warning would be an error
    store.clear()
    assert store.get(KEYS[1]) is None


@pytest.mark.parametrize("call", ["write", "open", "replace", "mkdir"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_failing_disk_is_one_warning(folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int) -> None:
    def fail(*args: object, **keywords: object) -> int:
        raise OSError(code, os.strerror(code))

    real_open = os.open

    def open_for_reading(path: str, flags: int, *args: int, **keywords: int) -> int:
        return fail() if flags & os.O_CREAT else real_open(path, flags, *args, **keywords)

    if call != "mkdir":
        ObjectCache(folder).put(KEYS[0], b"before")
    monkeypatch.setattr(os, call, open_for_reading if call == "open" else fail)
    store = ObjectCache(folder)
    with pytest.warns(RuntimeWarning, match=os.strerror(code)):
        cached_object(IR, host(), cache=store)
    for _ in range(3):  # a second warning would be an error
        assert jit.load_object(cached_object(IR, host(), cache=store)).address("answer")
    monkeypatch.undo()
    assert store.get(KEYS[0]) == (None if call == "mkdir" else b"before")
    assert not list(folder.glob("tmp.*"))


def test_a_disk_that_fills_up_in_the_middle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, left = os.write, [100]

    def write(descriptor: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(descriptor, data[: left[0]])
        left[0] -= written
        return written

    monkeypatch.setattr(os, "write", write)
    with pytest.warns(RuntimeWarning, match="No space"):
        ObjectCache(folder).put(KEYS[0], b"x" * 1000)
    assert not list(folder.iterdir())


def test_those_used_least_recently_go_first(folder: Path) -> None:
    store = ObjectCache(folder, limit=10_000)
    for age, key in enumerate(KEYS[:9]):
        store.put(key, bytes(1000))
        os.utime(folder / key, (age, age))
    assert store.get(KEYS[0]) is not None  # now the most recent
    store.put(KEYS[9], bytes(1000))
    kept = {key for key in KEYS[:10] if (folder / key).exists()}
    assert {KEYS[0], KEYS[8], KEYS[9]} <= kept
    assert KEYS[1] not in kept
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 10_000
    store.put(KEYS[10], bytes(20_000))
    assert store.get(KEYS[10]) is None


def test_a_large_cache_is_not_counted_by_every_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def entries(opened: int) -> list[tuple[str, float, int]]:
        counted.append(opened)
        return []

    counted: list[int] = []
    monkeypatch.setattr(cache, "_entries", entries)
    for key in KEYS:
        ObjectCache(folder, limit=1 << 60).put(key, b"x" * 1000)
    assert not counted
    ObjectCache(folder, limit=2000).put(KEYS[0], b"x" * 1000)
    assert len(counted) == 1


def test_abandoned_temporary_files_are_removed(folder: Path) -> None:
    ObjectCache(folder).put(KEYS[0], b"")
    old, new, foreign = folder / "tmp.1.a", folder / "tmp.2.b", folder / "notes.txt"
    for path in (old, new, foreign):
        path.write_bytes(b"")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    ObjectCache(folder, limit=1000).put(KEYS[1], b"")  # a small one is counted every time
    assert [path.exists() for path in (old, new, foreign)] == [False, True, True]


@pytest.mark.parametrize(("text", "size"), [("1000", 1000), ("2k", 2048), ("3M", 3 << 20), ("1G", 1 << 30), ("", 512 << 20)])
def test_size_from_the_environment(monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setenv("GRAPHDL_CACHE_SIZE", text)
    assert ObjectCache("unused").limit == size


def test_wrong_size_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHDL_CACHE_SIZE", "plenty")
    with pytest.warns(RuntimeWarning, match="plenty"):
        assert ObjectCache("unused").limit == cache.DEFAULT_LIMIT


def test_folder_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRAPHDL_CACHE_DIR", str(tmp_path / "chosen"))
    assert ObjectCache().folder == tmp_path / "chosen"
    monkeypatch.setenv("GRAPHDL_CACHE_DIR", "off")
    switched_off = ObjectCache()
    switched_off.put(KEYS[0], b"data")
    switched_off.clear()
    assert switched_off.get(KEYS[0]) is None
    monkeypatch.delenv("GRAPHDL_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ObjectCache().folder == tmp_path / "graphdl"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ObjectCache().folder == tmp_path / ".cache" / "graphdl"


def test_compiles_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cached_object(IR, host(), cache=ObjectCache(folder))
    monkeypatch.setattr(cache, "compile_object", lambda *_: pytest.fail("compiled again"))
    assert cached_object(IR, host(), cache=ObjectCache(folder)) == first


def hammer(folder: str, seed: int) -> None:
    warnings.simplefilter("error")
    chance, store = random.Random(seed), ObjectCache(folder, limit=50_000)
    for _ in range(300):
        number = chance.randrange(len(KEYS))
        found = store.get(KEYS[number])
        assert found is None or found == bytes([number]) * 5000
        store.put(KEYS[number], bytes([number]) * 5000)


def test_processes_at_once(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=hammer, args=(str(folder), seed)) for seed in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert not list(folder.glob("tmp.*"))


def test_llvm_errors_are_backend_errors() -> None:
    with pytest.raises(BackendError, match="expected"):
        jit.compile_object("define nonsense", host())
    with pytest.raises(BackendError, match="no pass"):
        jit.compile_object(IR, host(), passes="sroa,nonsense")
    with pytest.raises(BackendError, match="no target"):
        jit.compile_object(IR, replace(host(), triple="pdp11-unknown-unix"))
    with pytest.raises(BackendError):
        jit.compile_object("define i64 @f() {\n  %x = add i64 %y, 1\n  %y = add i64 %x, 1\n  ret i64 %x\n}\n", host(), verify=True)
    with pytest.raises(BackendError, match="cannot load"):
        jit.load_object(b"no object file")
    with pytest.raises(BackendError, match="`missing`"):
        jit.load_object(jit.compile_object(IR, host())).address("missing")


def test_passes_run_and_assembly_is_text() -> None:
    wasteful = "define i64 @f() {\n  %p = alloca i64\n  store i64 42, ptr %p\n  %x = load i64, ptr %p\n  ret i64 %x\n}\n"
    plain = jit.compile_object(wasteful, host(), level=0)
    assert len(jit.compile_object(wasteful, host(), level=0, passes="sroa, instruction_combine")) <= len(plain)
    assert jit.compile_object(wasteful, host(), passes="default")
    assert "f:" in jit.assembly(wasteful, host())


def test_symbols_resolve_to_given_addresses() -> None:
    caller = "declare i64 @elsewhere()\ndefine i64 @go() {\n  %x = call i64 @elsewhere()\n  ret i64 %x\n}\n"
    answer = jit.load_object(jit.compile_object(IR, host()))
    data = jit.compile_object(caller, host())
    assert jit.load_object(data, {"elsewhere": answer.address("answer")}).address("go")
    with pytest.raises(BackendError):
        jit.load_object(data).address("go")
