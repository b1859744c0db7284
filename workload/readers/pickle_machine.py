"""The pickle inside a PyTorch file, read by a machine that knows data only and runs nothing.

A pickle is a program. Python's own loader lets it import and call; this one knows the few
operations that lists, dicts, tuples, texts, numbers and tensors need, and refuses every other
operation before it reads its argument. The table of operations is that of `pickletools`.
Source of what torch.save writes: torch/serialization.py and torch/_utils.py (protocol 2).
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}
MOST_OBJECTS = 2**21
"""Containers and remembered places; each costs some hundred bytes, however small the file."""


class Refused(ValueError):
    """What the machine does not do, as one sentence."""


class Storage(NamedTuple):
    """The numbers of a tensor: `values` of them in the member `key`."""

    dtype: np.dtype[Any]
    key: str
    values: int


class Named(NamedTuple):
    """A name of another module; only those in the list below have a meaning."""

    module: str
    name: str


REBUILD = Named("torch._utils", "_rebuild_tensor_v2")
ORDERED = Named("collections", "OrderedDict")
Rebuild = Callable[[Storage, Any, Any, Any], NDArray[Any]]
"""From storage, offset, size and stride, which the machine has not looked at."""


def load(data: bytes, rebuild: Rebuild) -> Any:
    """The value of the pickle; raises Refused for whatever is not data, and for damage."""
    try:
        return _Machine(rebuild).run(data)
    except Refused:
        raise
    except (LookupError, TypeError, ValueError, OverflowError) as fault:
        raise Refused(f"is a damaged pickle: {fault}") from None


class _Machine:
    """The stack, the marks on it, and the memo of one pickle."""

    def __init__(self, rebuild: Rebuild) -> None:
        self.rebuild = rebuild
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.objects = 0

    def run(self, data: bytes) -> Any:
        stream = io.BytesIO(data)
        while code := stream.read(1):
            operation = CODES.get(code)
            name = "unknown" if operation is None else operation.name
            if operation is None or name not in OPERATIONS:
                raise Refused(
                    f"uses the pickle operation {name} ({code!r}); only plain values and tensors "
                    "are read, and nothing is run"
                )
            argument: Any = None
            if name == "GLOBAL":  # the table's own reader also takes escapes, and warns of bad ones
                argument = [stream.readline().decode().rstrip("\n") for _ in range(2)]
            elif operation.arg is not None:
                argument = operation.arg.reader(stream)
            if name == "STOP":
                return self.stack.pop()
            OPERATIONS[name](self, argument)
        raise Refused("is a damaged pickle: it ends without a result")

    def spend(self) -> None:
        self.objects += 1
        if self.objects > MOST_OBJECTS:
            raise Refused(f"holds more than {MOST_OBJECTS} objects")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def make(self, value: Any) -> None:
        self.spend()
        self.stack.append(value)

    def mark(self) -> None:
        self.spend()
        self.marks.append(len(self.stack))

    def to_mark(self) -> list[Any]:
        """What lies above the last mark, taken off."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def last(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            raise IndexError("too few values")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        return items

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise TypeError("appends to what is no list")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise TypeError("sets items of what is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int):
                raise TypeError("uses a key that is no text or number")
            target[key] = value

    def remember(self, place: int) -> None:
        self.spend()
        self.memo[place] = self.stack[-1]

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise Refused("names something by what is no text")
        known = Named(module, name)
        if known not in (REBUILD, ORDERED) and (module != "torch" or name not in STORAGES):
            raise Refused(
                f"asks for {module:.60}.{name:.60}; only tensors of plain numbers are read, "
                "and nothing is run"
            )
        self.push(known)

    def storage(self) -> None:
        """The `persistent id` of a storage: ('storage', type, key, place it lived, count)."""
        match self.stack.pop():
            case ("storage", Named("torch", name), str(key), str(), int(count)) if count >= 0:
                self.push(Storage(np.dtype(STORAGES[name]), key, count))
            case _:
                raise Refused("refers to something other than the numbers of a tensor")

    def call(self) -> None:
        """The two calls that data need: a tensor around its storage, and an empty dict."""
        function, arguments = self.last(2)
        match function, arguments:
            case Named("collections", "OrderedDict"), ():
                self.make({})
            case Named("torch._utils", "_rebuild_tensor_v2"), (
                Storage() as storage,
                offset,
                size,
                stride,
                *_,
            ):
                self.make(self.rebuild(storage, offset, size, stride))
            case _:
                raise Refused("calls something; only tensors are put together, nothing is run")


CODES = {operation.code.encode("latin-1"): operation for operation in pickletools.opcodes}
Operation = Callable[[_Machine, Any], None]
_PUSHED = "BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE SHORT_BINUNICODE"
OPERATIONS: dict[str, Operation] = dict.fromkeys(
    _PUSHED.split(), lambda machine, value: machine.push(value)
) | {
    "PROTO": lambda machine, version: None,
    "FRAME": lambda machine, length: None,
    "STOP": lambda machine, _: None,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_LIST": lambda machine, _: machine.make([]),
    "EMPTY_DICT": lambda machine, _: machine.make({}),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "MARK": lambda machine, _: machine.mark(),
    "TUPLE": lambda machine, _: machine.make(tuple(machine.to_mark())),
    "TUPLE1": lambda machine, _: machine.make(machine.last(1)),
    "TUPLE2": lambda machine, _: machine.make(machine.last(2)),
    "TUPLE3": lambda machine, _: machine.make(machine.last(3)),
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.to_mark()),
    "SETITEM": lambda machine, _: machine.set_items(list(machine.last(2))),
    "SETITEMS": lambda machine, _: machine.set_items(machine.to_mark()),
    "BINPUT": lambda machine, place: machine.remember(place),
    "LONG_BINPUT": lambda machine, place: machine.remember(place),
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    "BINGET": lambda machine, place: machine.push(machine.memo[place]),
    "LONG_BINGET": lambda machine, place: machine.push(machine.memo[place]),
    "GLOBAL": lambda machine, words: machine.name(*words),
    "STACK_GLOBAL": lambda machine, _: machine.name(*machine.last(2)),
    "BINPERSID": lambda machine, _: machine.storage(),
    "REDUCE": lambda machine, _: machine.call(),
}
