"""What the drivers of NVIDIA and AMD have in common: HIP has CUDA's driver API under other names.

Everything goes through ctypes: no header, no package. Every return code is checked. Calls release the GIL.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_void_p
from typing import Any, ClassVar

from numpy.typing import NDArray

from rlx_runtime.errors import RuntimeFault, TargetError
from rlx_runtime.gpu.driver import EXECUTED, USE_EMULATION, out_of_memory

_OUT = POINTER(c_void_p)
_SIGNATURES: dict[str, Sequence[Any]] = {
    "init": (c_uint,),
    "device_count": (POINTER(c_int),),
    "driver_version": (POINTER(c_int),),
    "alloc": (_OUT, c_size_t),
    "free": (c_void_p,),
    "upload": (c_void_p, c_void_p, c_size_t, c_void_p),
    "download": (c_void_p, c_void_p, c_size_t, c_void_p),
    "copy": (c_void_p, c_void_p, c_size_t, c_void_p),
    "fill": (c_void_p, ctypes.c_ubyte, c_size_t, c_void_p),
    "memory_info": (POINTER(c_size_t), POINTER(c_size_t)),
    "load": (_OUT, c_void_p, c_uint, c_void_p, c_void_p),
    "unload": (c_void_p,),
    "function": (_OUT, c_void_p, c_char_p),
    "new_stream": (_OUT, c_uint),
    "synchronize": (c_void_p,),
    "new_event": (_OUT, c_uint),
    "record": (c_void_p, c_void_p),
    "query": (c_void_p,),
    "wait": (c_void_p,),
    "wait_on_stream": (c_void_p, c_void_p, c_uint),
    "free_event": (c_void_p,),
    "begin_capture": (c_void_p, c_int),
    "end_capture": (c_void_p, _OUT),
    "instantiate": (_OUT, c_void_p, ctypes.c_ulonglong),
    "free_recording": (c_void_p,),
    "launch_graph": (c_void_p, c_void_p),
    "free_graph": (c_void_p,),
}
"""The arguments of each function, by what it is for."""

_OUT_OF_MEMORY, _NO_DEVICE = 2, 100
_NON_BLOCKING, _NO_TIMING, _THREAD_LOCAL = 1, 2, 1
# Options of module loading: where a complaint goes.
_ERROR_LOG, _ERROR_LOG_BYTES, _LOG_BYTES = 5, 6, 16384


class VendorDriver:
    """One device of a vendor's library.

    A subclass says how its library is called, names each function of `_SIGNATURES`, and adds `activate`, `supports`,
    `_choose_device` and `_error_text`.
    """

    name: ClassVar[str]
    maker: ClassVar[str]
    libraries: ClassVar[Sequence[str]]
    symbols: ClassVar[Mapping[str, str]]
    launch_symbol: ClassVar[str]
    not_ready: ClassVar[int]
    wrong_code: ClassVar[Mapping[int, str]]
    """Errors of loading that mean the code is not for this device or driver, and what to say."""
    least_version: ClassVar[int]
    dlpack_type: ClassVar[int]

    label = EXECUTED
    graphs = True
    reuses_memory = True

    def __init__(self, ordinal: int = 0) -> None:
        self.ordinal = ordinal
        self.device = f"{self.maker} device {ordinal}"
        self.arch = ""
        self._idle_streams: list[int] = []
        self.dlpack_device: tuple[int, int] | None = (self.dlpack_type, ordinal)
        self._library = self._open()
        self._functions = {role: self._function(role, symbol) for role, symbol in self.symbols.items()}
        self.launch_address = ctypes.cast(self._symbol(self.launch_symbol), c_void_p).value or 0
        self._start()
        self._choose_device()

    # -- starting

    def _open(self) -> ctypes.CDLL:
        for name in self.libraries:
            try:
                return ctypes.CDLL(name)
            except OSError:
                continue
        raise TargetError(
            f"there is no {self.maker} driver here: {self.libraries[0]} is missing", code="no-driver", hint=USE_EMULATION
        )

    def _symbol(self, symbol: str) -> Any:
        try:
            return getattr(self._library, symbol)
        except AttributeError:
            raise TargetError(f"the {self.maker} driver is too old: it lacks {symbol}", code="old-driver") from None

    def _function(self, role: str, symbol: str) -> Callable[..., int]:
        found = self._symbol(symbol)
        found.argtypes, found.restype = _SIGNATURES[role], c_int
        return found

    def _start(self) -> None:
        error = self._functions["init"](0)
        count = c_int()
        if not error:
            error = self._functions["device_count"](byref(count))
        if error == _NO_DEVICE or (not error and count.value <= self.ordinal):
            raise TargetError(f"there is no {self.maker} device here", code="no-device", hint=USE_EMULATION)
        if error:
            raise TargetError(
                f"the {self.maker} driver does not start: {self._error_text(error)}", code="no-driver", hint=USE_EMULATION
            )
        version = c_int()
        self._call("driver_version", byref(version))
        if version.value < self.least_version:
            raise TargetError(
                f"the {self.maker} driver is too old: version {version.value}, needed is {self.least_version}", code="old-driver"
            )

    def _choose_device(self) -> None:
        """Set `device` and `arch`, and what `activate` needs."""
        raise NotImplementedError

    def activate(self) -> None:
        raise NotImplementedError

    def supports(self, arch: str) -> bool:
        raise NotImplementedError

    def _error_text(self, error: int) -> str:
        raise NotImplementedError

    def explain(self, error: int) -> str:
        return f"the launch failed: {self._error_text(error)}"

    def _check(self, error: int, what: str) -> None:
        if error:
            raise RuntimeFault(f"{self.device}: {what}: {self._error_text(error)}", code="device")

    def _call(self, role: str, *arguments: Any) -> None:
        if error := self._functions[role](*arguments):
            self._check(error, self.symbols[role])

    def _new(self, role: str, *arguments: Any) -> int:
        made = c_void_p()
        self._call(role, byref(made), *arguments)
        return made.value or 0

    # -- memory

    def alloc(self, nbytes: int) -> int:
        made = c_void_p()
        error = self._functions["alloc"](byref(made), nbytes)
        if error == _OUT_OF_MEMORY:
            raise out_of_memory(nbytes, self)
        self._check(error, self.symbols["alloc"])
        return made.value or 0

    def free(self, address: int) -> None:
        self.activate()
        self._call("free", address)

    def upload(self, address: int, array: NDArray[Any], stream: int = 0) -> None:
        self._call("upload", address, array.ctypes.data, array.nbytes, stream)

    def download(self, array: NDArray[Any], address: int, stream: int = 0) -> None:
        self._call("download", array.ctypes.data, address, array.nbytes, stream)
        self.synchronize(stream)

    def copy(self, target: int, source: int, nbytes: int, stream: int = 0) -> None:
        self._call("copy", target, source, nbytes, stream)

    def fill(self, address: int, nbytes: int, value: int, stream: int = 0) -> None:
        self._call("fill", address, value, nbytes, stream)

    def memory_info(self) -> tuple[int, int]:
        free, total = c_size_t(), c_size_t()
        self._call("memory_info", byref(free), byref(total))
        return free.value, total.value

    # -- code

    def load(self, code: bytes) -> int:
        log = ctypes.create_string_buffer(_LOG_BYTES)
        options = (c_int * 2)(_ERROR_LOG, _ERROR_LOG_BYTES)
        values = (c_void_p * 2)(ctypes.addressof(log), _LOG_BYTES)
        module = c_void_p()
        image = ctypes.create_string_buffer(code)  # text must end in a zero byte
        error = self._functions["load"](byref(module), image, *self._load_options(options, values))
        if error:
            reason = self.wrong_code.get(error, f"it does not take the code: {self._error_text(error)}")
            said = log.value.decode("utf-8", "replace").strip()
            raise TargetError(f"{self.device} ({self.arch}): {reason}" + (f"\n{said}" if said else ""), code="device-code")
        return module.value or 0

    def _load_options(self, options: Any, values: Any) -> tuple[Any, ...]:
        return len(options), options, values

    def unload(self, module: int) -> None:
        self.activate()
        self._call("unload", module)

    def function(self, module: int, name: str, shared_bytes: int) -> int:
        found = c_void_p()
        if error := self._functions["function"](byref(found), module, name.encode()):
            raise TargetError(f"the device code has no kernel '{name}': {self._error_text(error)}", code="no-kernel")
        handle = found.value or 0
        self._allow_shared(handle, shared_bytes)
        return handle

    def _allow_shared(self, function: int, nbytes: int) -> None:
        """Allow the kernel that many bytes of shared memory in a block."""

    # -- streams and events

    def new_stream(self) -> int:
        try:
            return self._idle_streams.pop()
        except IndexError:
            return self._new("new_stream", _NON_BLOCKING)

    def free_stream(self, stream: int) -> None:
        """Keep it for the next one who asks: events that were recorded on a stream cannot be asked once it is destroyed."""
        self._idle_streams.append(stream)

    def synchronize(self, stream: int = 0) -> None:
        self._call("synchronize", stream)

    def record(self, stream: int) -> int:
        event = self._new("new_event", _NO_TIMING)
        self._call("record", event, stream)
        return event

    def is_done(self, event: int) -> bool:
        error = self._functions["query"](event)
        if error == self.not_ready:
            return False
        self._check(error, self.symbols["query"])
        return True

    def wait(self, event: int) -> None:
        self._call("wait", event)

    def wait_on_stream(self, stream: int, event: int) -> None:
        self._call("wait_on_stream", stream, event, 0)

    def free_event(self, event: int) -> None:
        self.activate()
        self._call("free_event", event)

    # -- graphs

    def begin_capture(self, stream: int) -> None:
        self._call("begin_capture", stream, _THREAD_LOCAL)

    def end_capture(self, stream: int) -> int:
        recording, graph = c_void_p(), c_void_p()
        self._call("end_capture", stream, byref(recording))
        try:
            self._call("instantiate", byref(graph), recording, 0)
        finally:
            self._call("free_recording", recording)
        return graph.value or 0

    def launch_graph(self, graph: int, stream: int) -> None:
        self._call("launch_graph", graph, stream)

    def free_graph(self, graph: int) -> None:
        self.activate()
        self._call("free_graph", graph)

