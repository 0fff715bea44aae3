"""Reads holding registers over and over: pymodbus_client.py DEVICE BAUD UNIT COUNT SECONDS (sync|async)"""

import asyncio
import sys
import time

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, ModbusSerialClient

DEVICE, BAUD, UNIT, COUNT, SECONDS, MODE = sys.argv[1:]
PORT = {"port": DEVICE, "framer": FramerType.RTU, "baudrate": int(BAUD), "parity": "N"}
READ = {"address": 0, "count": int(COUNT), "device_id": int(UNIT)}


async def main():
    client = AsyncModbusSerialClient(**PORT)
    await client.connect()
    end = time.monotonic() + float(SECONDS)
    while time.monotonic() < end:
        assert len((await client.read_holding_registers(**READ)).registers) == int(COUNT)
    client.close()


def blocking():
    client = ModbusSerialClient(**PORT)
    client.connect()
    end = time.monotonic() + float(SECONDS)
    while time.monotonic() < end:
        assert len(client.read_holding_registers(**READ).registers) == int(COUNT)
    client.close()


asyncio.run(main()) if MODE == "async" else blocking()
