"""The second half of the support module: the trampoline of a call, as LLVM text for x86-64 Linux.

What it needs of Python comes through tables of 8-byte words that fastcall.py fills: `Host` (one per process), `Slot` (one
prepared call of one executable) and `Operand` (one per input and output).
"""

from __future__ import annotations

from enum import IntEnum

from rlx_runtime.support_ir import CALL_BUFFERS, CALL_STATUS


class Host(IntEnum):
    """The words of the host table: functions and objects of the running Python."""

    SAVE_THREAD = 0
    RESTORE_THREAD = 1
    INCREF = 2
    DECREF = 3
    VECTORCALL = 4
    TUPLE_NEW = 5
    NDARRAY = 6
    EMPTY = 7
    """`numpy.empty`"""
    OUT = 8
    """the interned string 'out'"""
    DECLINED = 9
    """returned when a call is not the usual one: the caller takes the Python path"""
    FAULTED = 10
    """returned when the code reported a fault: the slot stays busy until the caller has read the status"""


class Slot(IntEnum):
    """The words of a slot: one prepared call of one executable."""

    READY = 0
    BUSY = 1
    HOST = 2
    ROOT = 3
    """address of the word that holds the team block's address, or 0 when this process has no team"""
    CALL = 4
    ENTRY = 5
    THREADS = 6
    INPUTS = 7
    """address of the operand table of the inputs"""
    INPUT_COUNT = 8
    OUTPUTS = 9
    OUTPUT_COUNT = 10
    KEEP_LOW = 11
    """hull [low, high) of the memory that an output may not touch: weights used where they lie"""
    KEEP_HIGH = 12


class Operand(IntEnum):
    """The words of one entry of an operand table."""

    BUFFER = 0
    """index in the call's buffers"""
    DESCR = 1
    RANK = 2
    DIMS = 3
    BYTES = 4
    EMPTY_ARGS = 5
    """address of two objects: shape tuple and dtype"""


OPERAND_BYTES = 8 * len(Operand)

# PyArrayObject, PyTupleObject, PyObject; fastcall.py checks these against a real array before it uses the trampoline.
OBJECT_TYPE, ARRAY_DATA, ARRAY_RANK, ARRAY_DIMS, ARRAY_DESCR, ARRAY_FLAGS = 8, 16, 24, 32, 56, 64
TUPLE_SIZE, TUPLE_ITEMS = 16, 24
READ_FLAGS = 0x0101
"""NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED"""
WRITE_FLAGS = 0x0501
"""READ_FLAGS | NPY_ARRAY_WRITEABLE"""


def _word(pointer: str, index: int, name: str, type_: str = "i64") -> str:
    """Load word `index` of a table into %name."""
    return f"""%{name}.p = getelementptr i8, ptr %{pointer}, i64 {8 * index}
  %{name} = load {type_}, ptr %{name}.p, align 8"""


FASTCALL = f"""
; Is `object` an array exactly as its operand entry says? If so, its data pointer goes into the call's buffers.
define internal i1 @take(ptr %object, ptr %operand, ptr %ndarray, i32 %flags, ptr %buffers) {{
entry:
  %type.p = getelementptr i8, ptr %object, i64 {OBJECT_TYPE}
  %type = load ptr, ptr %type.p, align 8
  %is.array = icmp eq ptr %type, %ndarray
  br i1 %is.array, label %array, label %no
array:
  {_word("operand", Operand.DESCR, "want.descr", "ptr")}
  {_word("operand", Operand.RANK, "want.rank")}
  {_word("operand", Operand.DIMS, "want.dims", "ptr")}
  {_word("operand", Operand.BUFFER, "index")}
  %descr.p = getelementptr i8, ptr %object, i64 {ARRAY_DESCR}
  %descr = load ptr, ptr %descr.p, align 8
  %rank.p = getelementptr i8, ptr %object, i64 {ARRAY_RANK}
  %rank.32 = load i32, ptr %rank.p, align 4
  %rank = zext i32 %rank.32 to i64
  %has.p = getelementptr i8, ptr %object, i64 {ARRAY_FLAGS}
  %has = load i32, ptr %has.p, align 4
  %has.wanted = and i32 %has, %flags
  %same.descr = icmp eq ptr %descr, %want.descr
  %same.rank = icmp eq i64 %rank, %want.rank
  %same.flags = icmp eq i32 %has.wanted, %flags
  %same.0 = and i1 %same.descr, %same.rank
  %same = and i1 %same.0, %same.flags
  br i1 %same, label %shape, label %no
shape:
  %dims.p = getelementptr i8, ptr %object, i64 {ARRAY_DIMS}
  %dims = load ptr, ptr %dims.p, align 8
  br label %axis
axis:
  %a = phi i64 [ 0, %shape ], [ %a.next, %compare ]
  %more = icmp slt i64 %a, %rank
  br i1 %more, label %compare, label %yes
compare:
  %extent.p = getelementptr i64, ptr %dims, i64 %a
  %extent = load i64, ptr %extent.p, align 8
  %want.p = getelementptr i64, ptr %want.dims, i64 %a
  %want = load i64, ptr %want.p, align 8
  %a.next = add i64 %a, 1
  %fits = icmp eq i64 %extent, %want
  br i1 %fits, label %axis, label %no
yes:
  %data.p = getelementptr i8, ptr %object, i64 {ARRAY_DATA}
  %data = load ptr, ptr %data.p, align 8
  %buffer.p = getelementptr ptr, ptr %buffers, i64 %index
  store ptr %data, ptr %buffer.p, align 8
  ret i1 true
no:
  ret i1 false
}}

define internal i1 @overlap(i64 %low.a, i64 %high.a, i64 %low.b, i64 %high.b) alwaysinline {{
  %before = icmp ult i64 %low.a, %high.b
  %after = icmp ult i64 %low.b, %high.a
  %both = and i1 %before, %after
  ret i1 %both
}}

; Does the output just taken touch an input or the memory that is kept?
define internal i1 @clashes(ptr %slot, ptr %output, ptr %buffers) {{
entry:
  {_word("output", Operand.BUFFER, "out.index")}
  {_word("output", Operand.BYTES, "out.bytes")}
  {_word("slot", Slot.KEEP_LOW, "keep.low")}
  {_word("slot", Slot.KEEP_HIGH, "keep.high")}
  {_word("slot", Slot.INPUTS, "inputs", "ptr")}
  {_word("slot", Slot.INPUT_COUNT, "count")}
  %out.p = getelementptr i64, ptr %buffers, i64 %out.index
  %low = load i64, ptr %out.p, align 8
  %high = add i64 %low, %out.bytes
  %keep = call i1 @overlap(i64 %low, i64 %high, i64 %keep.low, i64 %keep.high)
  br i1 %keep, label %yes, label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i.next, %body ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %body, label %no
body:
  %offset = mul i64 %i, {OPERAND_BYTES}
  %operand = getelementptr i8, ptr %inputs, i64 %offset
  {_word("operand", Operand.BUFFER, "index")}
  {_word("operand", Operand.BYTES, "bytes")}
  %in.p = getelementptr i64, ptr %buffers, i64 %index
  %in.low = load i64, ptr %in.p, align 8
  %in.high = add i64 %in.low, %bytes
  %i.next = add i64 %i, 1
  %touch = call i1 @overlap(i64 %low, i64 %high, i64 %in.low, i64 %in.high)
  br i1 %touch, label %yes, label %head
yes:
  ret i1 true
no:
  ret i1 false
}}

; Make new arrays for all outputs: one array, or a tuple of several. Null when Python raised.
define internal ptr @make_outputs(ptr %host, ptr %outputs, i64 %count, ptr %buffers) {{
entry:
  {_word("host", Host.VECTORCALL, "vectorcall", "ptr")}
  {_word("host", Host.TUPLE_NEW, "tuple.new", "ptr")}
  {_word("host", Host.DECREF, "decref", "ptr")}
  {_word("host", Host.EMPTY, "empty", "ptr")}
  %one = icmp eq i64 %count, 1
  br i1 %one, label %ready, label %pack
pack:
  %fresh = call ptr %tuple.new(i64 %count)
  %got.tuple = icmp ne ptr %fresh, null
  br i1 %got.tuple, label %ready, label %fail
ready:
  %tuple = phi ptr [ null, %entry ], [ %fresh, %pack ]
  br label %head
head:
  %i = phi i64 [ 0, %ready ], [ %i.next, %next ]
  %last = phi ptr [ null, %ready ], [ %array, %next ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %body, label %out
body:
  %offset = mul i64 %i, {OPERAND_BYTES}
  %operand = getelementptr i8, ptr %outputs, i64 %offset
  {_word("operand", Operand.BUFFER, "index")}
  {_word("operand", Operand.EMPTY_ARGS, "args", "ptr")}
  %array = call ptr %vectorcall(ptr %empty, ptr %args, i64 2, ptr null)
  %got = icmp ne ptr %array, null
  br i1 %got, label %store, label %drop
store:
  %data.p = getelementptr i8, ptr %array, i64 {ARRAY_DATA}
  %data = load ptr, ptr %data.p, align 8
  %buffer.p = getelementptr ptr, ptr %buffers, i64 %index
  store ptr %data, ptr %buffer.p, align 8
  %i.next = add i64 %i, 1
  br i1 %one, label %next, label %keep
keep:
  %items = getelementptr i8, ptr %tuple, i64 {TUPLE_ITEMS}
  %item = getelementptr ptr, ptr %items, i64 %i
  store ptr %array, ptr %item, align 8
  br label %next
next:
  br label %head
drop:
  br i1 %one, label %fail, label %drop.tuple
drop.tuple:
  call void %decref(ptr %tuple)
  br label %fail
out:
  %result = select i1 %one, ptr %last, ptr %tuple
  ret ptr %result
fail:
  ret ptr null
}}

; METH_FASTCALL | METH_KEYWORDS: exe(x, …) and exe(x, …, out=y). `self` is the array that holds the slot.
; Runs with the GIL held except around the code; `busy` is read and written with the GIL held.
define ptr @rlx_fastcall(ptr %self, ptr %args, i64 %given, ptr %names) {{
entry:
  %slot.p = getelementptr i8, ptr %self, i64 {ARRAY_DATA}
  %slot = load ptr, ptr %slot.p, align 8
  {_word("slot", Slot.READY, "ready")}
  {_word("slot", Slot.BUSY, "busy")}
  {_word("slot", Slot.HOST, "host", "ptr")}
  {_word("slot", Slot.ROOT, "root", "ptr")}
  {_word("slot", Slot.CALL, "call", "ptr")}
  {_word("slot", Slot.ENTRY, "entry.fn", "ptr")}
  {_word("slot", Slot.THREADS, "threads.64")}
  {_word("slot", Slot.INPUTS, "inputs", "ptr")}
  {_word("slot", Slot.INPUT_COUNT, "input.count")}
  {_word("slot", Slot.OUTPUTS, "outputs", "ptr")}
  {_word("slot", Slot.OUTPUT_COUNT, "output.count")}
  {_word("host", Host.NDARRAY, "ndarray", "ptr")}
  {_word("host", Host.INCREF, "incref", "ptr")}
  {_word("host", Host.DECREF, "decref", "ptr")}
  %threads = trunc i64 %threads.64 to i32
  %is.ready = icmp ne i64 %ready, 0
  %is.free = icmp eq i64 %busy, 0
  %usable = and i1 %is.ready, %is.free
  %all.given = icmp eq i64 %given, %input.count
  %plain = and i1 %usable, %all.given
  br i1 %plain, label %find.team, label %decline
find.team:
  %team = load ptr, ptr %root, align 8
  %no.team = icmp eq ptr %team, null
  %needs.team = icmp sgt i32 %threads, 1
  br i1 %needs.team, label %check.team, label %find.out
check.team:
  br i1 %no.team, label %decline, label %check.size
check.size:
  %size.of.team.p = getelementptr i8, ptr %team, i64 8
  %size.of.team = load i64, ptr %size.of.team.p, align 8
  %large.enough = icmp sle i64 %threads.64, %size.of.team
  br i1 %large.enough, label %find.out, label %decline
find.out:
  %buffers.p = getelementptr i8, ptr %call, i64 {CALL_BUFFERS}
  %buffers = load ptr, ptr %buffers.p, align 8
  %no.names = icmp eq ptr %names, null
  br i1 %no.names, label %take.inputs, label %one.name
one.name:
  %size.p = getelementptr i8, ptr %names, i64 {TUPLE_SIZE}
  %size = load i64, ptr %size.p, align 8
  %name.p = getelementptr i8, ptr %names, i64 {TUPLE_ITEMS}
  %is.one = icmp eq i64 %size, 1
  %single.output = icmp eq i64 %output.count, 1
  %could.be.out = and i1 %is.one, %single.output
  br i1 %could.be.out, label %check.name, label %empty.names
empty.names:
  %is.none = icmp eq i64 %size, 0
  br i1 %is.none, label %take.inputs, label %decline
check.name:
  {_word("host", Host.OUT, "out.name", "ptr")}
  %name = load ptr, ptr %name.p, align 8
  %is.out = icmp eq ptr %name, %out.name
  %out.p = getelementptr ptr, ptr %args, i64 %given
  br i1 %is.out, label %load.out, label %decline
load.out:
  %out.given = load ptr, ptr %out.p, align 8
  br label %take.inputs
take.inputs:
  %out = phi ptr [ null, %find.out ], [ null, %empty.names ], [ %out.given, %load.out ]
  br label %head
head:
  %i = phi i64 [ 0, %take.inputs ], [ %i.next, %body ]
  %more = icmp slt i64 %i, %input.count
  br i1 %more, label %body, label %take.outputs
body:
  %arg.p = getelementptr ptr, ptr %args, i64 %i
  %arg = load ptr, ptr %arg.p, align 8
  %offset = mul i64 %i, {OPERAND_BYTES}
  %operand = getelementptr i8, ptr %inputs, i64 %offset
  %i.next = add i64 %i, 1
  %fits = call i1 @take(ptr %arg, ptr %operand, ptr %ndarray, i32 {READ_FLAGS}, ptr %buffers)
  br i1 %fits, label %head, label %decline
take.outputs:
  %make = icmp eq ptr %out, null
  br i1 %make, label %make.out, label %take.out
take.out:
  %out.fits = call i1 @take(ptr %out, ptr %outputs, ptr %ndarray, i32 {WRITE_FLAGS}, ptr %buffers)
  br i1 %out.fits, label %check.out, label %decline
check.out:
  %clash = call i1 @clashes(ptr %slot, ptr %outputs, ptr %buffers)
  br i1 %clash, label %decline, label %hold.out
hold.out:
  call void %incref(ptr %out)
  store i64 1, ptr %busy.p, align 8
  br label %run
make.out:
  ; Making arrays may run other Python code, so the slot is taken first.
  store i64 1, ptr %busy.p, align 8
  %made = call ptr @make_outputs(ptr %host, ptr %outputs, i64 %output.count, ptr %buffers)
  %is.made = icmp ne ptr %made, null
  br i1 %is.made, label %run, label %raised
run:
  %result = phi ptr [ %out, %hold.out ], [ %made, %make.out ]
  {_word("host", Host.SAVE_THREAD, "save", "ptr")}
  {_word("host", Host.RESTORE_THREAD, "restore", "ptr")}
  %state = call ptr %save()
  %rc = call i32 @rlx_team_run(ptr %team, ptr %entry.fn, ptr %call, i32 %threads)
  call void %restore(ptr %state)
  %status.p = getelementptr i8, ptr %call, i64 {CALL_STATUS}
  %status = load ptr, ptr %status.p, align 8
  %code = load i64, ptr %status, align 8
  %ok = icmp eq i64 %code, 0
  br i1 %ok, label %done, label %fault
done:
  store i64 0, ptr %busy.p, align 8
  ret ptr %result
fault:
  call void %decref(ptr %result)
  {_word("host", Host.FAULTED, "faulted", "ptr")}
  call void %incref(ptr %faulted)
  ret ptr %faulted
raised:
  store i64 0, ptr %busy.p, align 8
  ret ptr null
decline:
  {_word("host", Host.DECLINED, "declined", "ptr")}
  call void %incref(ptr %declined)
  ret ptr %declined
}}
"""
