"""What the native stub knows of CPython and NumPy, and the table through which it knows a program."""

from __future__ import annotations

from enum import IntEnum

# Offsets in bytes: PyObject.ob_type, and PyArrayObject_fields (numpy/ndarraytypes.h), whose flags hold C_CONTIGUOUS and ALIGNED.
REFERENCES, OB_TYPE, DATA, RANK, DIMENSIONS, BASE, DESCRIPTOR, FLAGS, WEAK_REFERENCES = 0, 8, 16, 24, 32, 48, 56, 64, 72
C_CONTIGUOUS_ALIGNED = 0x101
OWNS_DATA, WRITEABLE = 0x4, 0x400
LARGE, LINE = 32768, 64  # bytes: an output from the first on is aligned to the second
KEPT = 2  # results of former calls kept for each output: one may still be held when the next is made, as in `y = f(x)`
MAX_RANK = 32
MAX_WORDS = 4096  # pointers and sizes lie on the stack

# The functions of CPython and NumPy that the stub calls, and its data symbol.
IMPORTS = {
    "Py_IncRef": "void @Py_IncRef(ptr)",
    "Py_DecRef": "void @Py_DecRef(ptr)",
    "PyTuple_New": "ptr @PyTuple_New(i64)",
    "PyTuple_Size": "i64 @PyTuple_Size(ptr)",
    "PyTuple_GetItem": "ptr @PyTuple_GetItem(ptr, i64)",
    "PyTuple_SetItem": "i32 @PyTuple_SetItem(ptr, i64, ptr)",
    "PyList_GetItem": "ptr @PyList_GetItem(ptr, i64)",
    "PyList_SetItem": "i32 @PyList_SetItem(ptr, i64, ptr)",
    "PyLong_FromLongLong": "ptr @PyLong_FromLongLong(i64)",
    "PyObject_Vectorcall": "ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)",
    "PyEval_SaveThread": "ptr @PyEval_SaveThread()",
    "PyEval_RestoreThread": "void @PyEval_RestoreThread(ptr)",
    "PyArray_SetBaseObject": "i32 @PyArray_SetBaseObject(ptr, ptr)",
    "PyArray_NewFromDescr": "ptr @PyArray_NewFromDescr(ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)",
}


class Field(IntEnum):
    """Where each thing lies in the table of a program, in i64.

    From ARRAYS on follow the inputs and then the outputs, each as `descriptor, rank, size...`. A size n >= 0 is itself; an input's
    size -2k-1 sets slot k of the sizes and -2k-2 must equal it; an output's size -k-1 is slot k, and the bytes of its elements come last.
    """

    INPUTS = 0
    OUTPUTS = 1
    NAMED_SIZES = 2
    ALL_SIZES = 3
    STATIC = 4
    STATIC_COUNT = 5
    ENTRY = 6
    SHAPES = 7
    ARENA_BYTES = 8
    THREADS = 9
    ARENA = 10
    SLOW = 11
    FAILED = 12
    ARRAY_TYPE = 13
    RELEASE_GIL = 14
    UNPACK = 15
    NAMES = 16
    KEPT = 17
    BYTES = 18
    ARRAYS = 19
