"""Object files on disk, found by the hash of everything that went into them.

The folder is trusted as code is: it must be a real folder (no symbolic link) that belongs to this user and that nobody else
can write. All files are reached through a descriptor of the folder that was checked, so it cannot be exchanged in between.
An entry is `magic, length, sha256 of the payload, payload`, written to a temporary file and renamed, so a reader sees a whole
entry or none; one that does not verify is removed. Whatever the disk does, the worst outcome is to compile again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import secrets
import stat
import struct
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import graphdl.version
from graphdl.backends.native.runtime.jit import compile_object, linked, versions
from graphdl.backends.native.target import Target
from graphdl.version import __version__

_PACKAGE = Path(graphdl.version.__file__).parent
MAGIC = b"graphdl\x01"
DEFAULT_LIMIT = 512 << 20
LOOKS = 64
_HEADER = struct.Struct("<8sQ32s")
_KEY = re.compile(r"[0-9a-f]{64}")
_STALE_SECONDS = 3600.0  # a temporary file this old was left by a process that died
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_warned: set[str] = set()


def key_of(*parts: str | bytes, target: Target) -> str:
    """The cache key of code made from `parts` for `target` by this version of graphdl and LLVM: 64 hexadecimal digits."""
    return plain_key(target.triple, target.cpu, target.features, *parts)


def plain_key(*parts: str | bytes) -> str:
    """The cache key of what this version of graphdl and LLVM has found out from `parts`: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in (__version__, versions(), *parts):
        data = part.encode() if isinstance(part, str) else part
        digest.update(struct.pack("<Q", len(data)))
        digest.update(data)
    return digest.hexdigest()


@functools.cache
def sources_digest() -> str:
    """A digest of this installation's own files, by size and time of change: edited code finds nothing that older code cached."""
    digest = hashlib.sha256()
    for folder in (_PACKAGE, _PACKAGE / "passes", _PACKAGE / "backends"):
        for line in sorted(_source_files(os.path.realpath(folder))):
            digest.update(line.encode())
    return digest.hexdigest()


def _source_files(folder: str) -> Iterator[str]:
    """A line for every file of Python below a folder, links left alone."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _source_files(entry.path)
            elif entry.name.endswith(".py"):
                info = entry.stat()
                yield f"{entry.name} {info.st_size} {info.st_mtime_ns}\n"


def default_folder() -> Path | None:
    """`GRAPHDL_CACHE_DIR`, else graphdl in `XDG_CACHE_HOME` or ~/.cache; None if switched off (`off`, `none`, `0` or empty)."""
    chosen = os.environ.get("GRAPHDL_CACHE_DIR")
    if chosen is not None:
        return None if chosen.lower() in ("", "off", "none", "0") else Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "graphdl"


def default_limit() -> int:
    """`GRAPHDL_CACHE_SIZE` in bytes, or with a suffix K, M or G; 512 MiB unless set."""
    text = os.environ.get("GRAPHDL_CACHE_SIZE", "")
    match = re.fullmatch(r"(\d+)([KMG]?)", text.strip().upper())
    if match:
        return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]]
    if text:
        _warn_once(f"GRAPHDL_CACHE_SIZE={text!r} is not a size; using {DEFAULT_LIMIT >> 20}M")
    return DEFAULT_LIMIT


class ObjectCache:
    """A folder of verified entries, at most `limit` bytes of them; those used least recently go first.

    Never raises for what the disk does: the first failure of a process is a warning, and then it works without a cache.
    """

    def __init__(self, folder: Path | str | None = None, limit: int | None = None) -> None:
        self.folder = Path(folder) if folder is not None else default_folder()
        self.limit = default_limit() if limit is None else limit
        self._lent: dict[str, bytes] = {}
        self._writable = True
        self._size: int | None = None  # bytes on disk as last counted, plus what was put since

    def get(self, key: str) -> bytes | None:
        """The bytes put under `key`, or None."""
        _check_key(key)
        if key in self._lent:
            return self._lent[key]
        with self._opened(create=False) as folder:
            if folder is None:
                return None
            try:
                data = _read_entry(key, folder)
            except FileNotFoundError:
                return None
            except OSError as error:
                _warn_once(f"cannot read the object cache {self.folder}: {error}")
                return None
            if data is None:
                _remove(key, folder)
            return data

    def lend(self, key: str, data: bytes) -> None:
        """Answer for `key` with `data` in this process, whatever the disk holds."""
        _check_key(key)
        self._lent[key] = data

    def put(self, key: str, data: bytes) -> None:
        """Keep `data` under `key`, if the disk allows."""
        _check_key(key)
        if not self._writable or len(data) > self.limit:
            return
        with self._opened(create=True) as folder:
            if folder is None:
                return
            try:
                _write_entry(key, data, folder)
                self._make_room(folder, _HEADER.size + len(data))
            except OSError as error:
                self._writable = False
                _warn_once(f"cannot write to the object cache {self.folder}: {error}; going on without it")

    def clear(self) -> None:
        """Remove every entry and every temporary file."""
        with self._opened(create=False) as folder:
            if folder is not None:
                for name, _, _ in _entries(folder):
                    _remove(name, folder)
        self._size = None

    @contextlib.contextmanager
    def _opened(self, *, create: bool) -> Iterator[int | None]:
        """A descriptor of the folder, or None if there is none to be trusted."""
        descriptor = None if self.folder is None or os.name != "posix" else _open_folder(self.folder, create)
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _make_room(self, folder: int, added: int) -> None:
        """Count what is there, and remove the oldest if it is too much.

        Counting tens of thousands of entries takes half a second, so one process in many does it: on average, some one counts
        whenever a `LOOKS`-th of the limit was added.
        """
        if self._size is None and secrets.randbelow(max(self.limit, 1)) >= LOOKS * added:
            return
        if self._size is not None:
            self._size += added
            if self._size <= self.limit:
                return
        found = sorted(_entries(folder), key=lambda entry: entry[1])
        self._size = sum(size for _, _, size in found)
        now, goal = time.time(), self.limit - self.limit // 10 if self._size > self.limit else self.limit
        for name, used, size in found:
            abandoned = not _KEY.fullmatch(name) and now - used > _STALE_SECONDS
            if abandoned or (self._size > goal and _KEY.fullmatch(name)):
                _remove(name, folder)
                self._size -= size


@functools.cache
def default_cache() -> ObjectCache:
    """The cache of this process, in the default folder."""
    return ObjectCache()


def object_key(ir_text: str, target: Target, level: int = 2, passes: str | None = None) -> str:
    """The key under which `cached_object` keeps its result."""
    return key_of("linked", ir_text, str(level), passes or "", target=target)


def cached_object(ir_text: str, target: Target, level: int = 2, passes: str | None = None, cache: ObjectCache | None = None) -> bytes:
    """What `compile_object` and `linked` make of a text, unless the cache has it already. Raises BackendError."""
    cache = cache or default_cache()
    key = object_key(ir_text, target, level, passes)
    data = cache.get(key)
    if data is None:
        (data,) = linked([compile_object(ir_text, target, level, passes)])
        cache.put(key, data)
    return data


def is_key(key: object) -> bool:
    """Whether entries can go by this name."""
    return isinstance(key, str) and _KEY.fullmatch(key) is not None


def _check_key(key: str) -> None:
    if not is_key(key):
        raise ValueError(f"not a cache key: {key!r}")


def _open_folder(path: Path, create: bool) -> int | None:
    try:
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
        descriptor = os.open(path, _READ | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    except OSError as error:
        _warn_once(f"cannot use the object cache {path}: {error}")
        return None
    info = os.fstat(descriptor)
    if info.st_uid == os.geteuid() and not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return descriptor
    os.close(descriptor)
    _warn_once(f"the object cache {path} belongs to, or can be written by, someone else; going on without it")
    return None


def _read_entry(key: str, folder: int) -> bytes | None:
    """The payload if the entry verifies, else None. Marks the entry as just used. Raises OSError."""
    try:
        descriptor = os.open(key, _READ, dir_fd=folder)
    except OSError as error:
        if isinstance(error, FileNotFoundError) or not _is_link(key, folder):
            raise
        return None
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid():
            return None
        with open(descriptor, "rb", closefd=False) as file:
            payload = _verified(file.read())
        if payload is not None:
            with contextlib.suppress(OSError):
                os.utime(descriptor)
        return payload
    finally:
        os.close(descriptor)


def _verified(content: bytes) -> bytes | None:
    if len(content) < _HEADER.size:
        return None
    magic, length, digest = _HEADER.unpack_from(content)
    payload = content[_HEADER.size :]
    sound = magic == MAGIC and length == len(payload) and digest == hashlib.sha256(payload).digest()
    return payload if sound else None


def _write_entry(key: str, data: bytes, folder: int) -> None:
    """Write and rename. Raises OSError, leaving no temporary file."""
    temporary = f"tmp.{os.getpid()}.{secrets.token_hex(8)}"
    descriptor = os.open(temporary, _CREATE, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb", buffering=0) as file:
            remaining = memoryview(_HEADER.pack(MAGIC, len(data), hashlib.sha256(data).digest()) + data)
            while remaining:
                remaining = remaining[os.write(file.fileno(), remaining) :]
        os.replace(temporary, key, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        _remove(temporary, folder)
        raise


def _entries(folder: int) -> Iterator[tuple[str, float, int]]:
    """Name, time of last use and bytes of each entry and temporary file; other people's files are left alone."""
    for name in os.listdir(folder):
        if _KEY.fullmatch(name) or name.startswith("tmp."):
            with contextlib.suppress(OSError):
                info = os.stat(name, dir_fd=folder, follow_symlinks=False)
                yield name, info.st_mtime, info.st_size


def _is_link(name: str, folder: int) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _remove(name: str, folder: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)


def _warn_once(message: str) -> None:
    if not _warned:
        _warned.add(message)
        warnings.warn(message, RuntimeWarning, stacklevel=3)
