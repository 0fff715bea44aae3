"""A pymodbus server for the tests: modbus_server.py (rtu DEVICE PERCENT TIMEOUT_MS | tcp PERCENT TIMEOUT_MS)

The first line on standard output is JSON: the TCP port, and what stands in which holding register.
PERCENT of the reads are answered 1 to 3 times TIMEOUT_MS after their request, and every answer to a
read from register 1000 on carries the register and the number of the request."""

import asyncio
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
# Type, a value that stands there, a value to be written.
VALUES = [
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


def registers(value, kind, order):
    """As pymodbus lays the value out; it knows no swapped bytes, so those are swapped here."""
    word_order = "little" if order in ("CDAB", "DCBA") and kind != TYPES.STRING else "big"
    words = ModbusClientMixin.convert_to_registers(value, kind, word_order)
    if order in ("BADC", "DCBA"):
        words = [struct.unpack("<H", struct.pack(">H", word))[0] for word in words]
    return words


def layout():
    entries, at = [], 0
    for order in ("ABCD", "BADC", "CDAB", "DCBA"):
        for name, kind, first, second in VALUES:
            words = registers(first, kind, order)
            written = registers(second, kind, order)
            entries.append(
                {"type": name, "order": order, "at": at, "value": first, "registers": words,
                 "next_value": second, "next_registers": written})
            at += len(words)
    return entries


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
    print(json.dumps({"port": port, "entries": entries}), flush=True)
    # Ends with the test that holds the other end of standard input.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
