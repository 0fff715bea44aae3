"""A pymodbus server for the tests: modbus_server.py (rtu DEVICE PERCENT TIMEOUT_MS | tcp PERCENT TIMEOUT_MS)

The first line on standard output is JSON: the TCP port, and what stands in which holding register.
PERCENT of the reads are answered 1 to 3 times TIMEOUT_MS after their request, and every answer to a
read from register 1000 on carries the register and the number of the request."""

import asyncio
import datetime
import json
import random
import struct
import sys
import time

from pymodbus import FramerType
from pymodbus.client.mixin import ModbusClientMixin
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

UNIT = 17
COUNTED_FROM = 1000
TYPES = ModbusClientMixin.DATATYPE
ORDERS = ("ABCD", "BADC", "CDAB", "DCBA")
EACH = 50
# Type, what pymodbus calls it where it knows it, a value that stands there, a value to be written.
VALUES = [
    ("u8", None, 200, 7),
    ("i8", None, -100, 100),
    ("f16", None, 21.1, -0.5),
    ("bcd16", None, 1234, 9999),
    ("bcd32", None, 12345678, 3),
    ("bcd64", None, 1234567890123456, 42),
    ("date_words", None, 1795388759, 951782400),
    ("date_bytes", None, 1795388759, 951782400),
    ("date_bcd", None, 1795388759, 951782400),
    ("date_iec870", None, 1795388759, 951782400),
    ("i16", TYPES.INT16, -12345, 32767),
    ("u16", TYPES.UINT16, 54321, 0),
    ("i32", TYPES.INT32, -1234567890, 7),
    ("u32", TYPES.UINT32, 4123456789, 65536),
    ("i64", TYPES.INT64, -1234567890123456789, 2**62),
    ("u64", TYPES.UINT64, 2**64 - 2, 2**33 + 1),
    ("f32", TYPES.FLOAT32, 21.1, -0.001),
    ("f64", TYPES.FLOAT64, 230.123456789, 1e-300),
    ("string", TYPES.STRING, "PM-5560", "ahu 1/b"),
]


def words_of(packed):
    return [word for (word,) in struct.iter_unpack(">H", packed)]


def digits(value, count):
    return bytes.fromhex(str(value).zfill(count))


def by_python(name, value):
    """What pymodbus has no type for, by what Python brings along."""
    if name in ("u8", "i8"):
        return [value & 0xFF]
    if name == "f16":
        return words_of(struct.pack(">e", value))
    if name.startswith("bcd"):
        return words_of(digits(value, int(name[3:]) // 4))
    date = datetime.datetime.fromtimestamp(value, datetime.timezone.utc)
    parts = [date.year, date.month, date.day, date.hour, date.minute, date.second]
    if name == "date_words":
        return parts
    parts[0] -= 2000
    if name == "date_bytes":
        return words_of(bytes(parts))
    if name == "date_bcd":
        return words_of(b"".join(digits(part, 2) for part in parts))
    return [parts[0], date.month << 8 | date.day, date.hour << 8 | date.minute, date.second * 1000]


def registers(name, value, kind, order):
    """As pymodbus lays the value out; it knows no swapped bytes, so those are swapped here."""
    is_reversed = order in ("CDAB", "DCBA")
    if kind is None:
        words = by_python(name, value)
        words = words[::-1] if is_reversed else words
    else:
        word_order = "little" if is_reversed and kind != TYPES.STRING else "big"
        words = ModbusClientMixin.convert_to_registers(value, kind, word_order)
    if order in ("BADC", "DCBA"):
        words = [struct.unpack("<H", struct.pack(">H", word))[0] for word in words]
    return words


def layout():
    entries, at = [], 0
    for order in ORDERS:
        for name, kind, first, second in VALUES:
            words = registers(name, first, kind, order)
            written = registers(name, second, kind, order)
            entries.append(
                {"type": name, "order": order, "at": at, "value": first, "registers": words,
                 "next_value": second, "next_registers": written})
            at += len(words)
    return entries


def any_value(name, dice):
    if name == "string":
        # Without blanks at its end, which are padding.
        return "".join(chr(dice.randint(33, 126)) for _ in range(dice.randint(1, 12)))
    if name in ("f16", "f32", "f64"):
        figures, most = {"f16": (3, 3), "f32": (6, 30), "f64": (15, 200)}[name]
        value = dice.uniform(1, 9.9) * 10.0 ** dice.randint(-most, most)
        # As many figures as the type can tell apart.
        return dice.choice((-1, 1)) * float(f"{value:.{figures}g}")
    if name.startswith("date"):
        return dice.randint(946684800, 4102444799)
    if name.startswith("bcd"):
        return dice.randrange(10 ** (int(name[3:]) // 4))
    bits = int(name[1:])
    return dice.getrandbits(bits) - (2 ** (bits - 1) if name[0] == "i" else 0)


def conversions(seed):
    """Any values of every type in every order, and how they are laid out."""
    dice = random.Random(seed)
    found = []
    for order in ORDERS:
        for name, kind, *_ in VALUES:
            for value in (any_value(name, dice) for _ in range(EACH)):
                words = registers(name, value, kind, order)
                found.append({"type": name, "order": order, "value": value, "registers": words})
    return found


class Late:
    """Numbers the requests and holds some answers back."""

    def __init__(self, percent, timeout_ms):
        self.percent, self.timeout = percent, timeout_ms / 1000
        self.dice, self.requests, self.at, self.seen = random.Random(7), 0, 0, 0.0

    def trace(self, sending, pdu):
        if not sending:
            self.requests, self.at, self.seen = self.requests + 1, pdu.address, time.monotonic()
            return pdu
        if self.at >= COUNTED_FROM and len(pdu.registers) == 2:
            pdu.registers = [self.at, (self.requests - 1) & 0xFFFF]
        if self.dice.random() * 100 < self.percent:
            late = self.timeout * self.dice.uniform(1, 3)
            time.sleep(max(0.0, self.seen + late - time.monotonic()))
        return pdu


async def main():
    mode, arguments = sys.argv[1], sys.argv[2:]
    device = arguments.pop(0) if mode == "rtu" else None
    late = Late(float(arguments[0]), float(arguments[1]))
    entries = layout()
    words = [word for entry in entries for word in entry["registers"]]
    words += [0] * (COUNTED_FROM + 100 - len(words))
    simulated = SimDevice(UNIT, simdata=[SimData(0, values=words, datatype=DataType.REGISTERS)])
    if mode == "tcp":
        server = ModbusTcpServer(simulated, address=("127.0.0.1", 0), trace_pdu=late.trace)
    else:
        server = ModbusSerialServer(
            simulated, framer=FramerType.RTU, port=device, baudrate=115200, parity="N", trace_pdu=late.trace)
    await server.serve_forever(background=True)
    port = server.transport.sockets[0].getsockname()[1] if mode == "tcp" else 0
    ready = {"port": port, "entries": entries, "conversions": conversions(random.randrange(2**32))}
    print(json.dumps(ready), flush=True)
    # Ends with the test that holds the other end of standard input.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
