"""Reads a meter with somebody else's client: meter_reader.py DEVICE

Prints the identification and the registers of one readout as a line of JSON."""

import json
import sys

from iec62056_21.client import Iec6205621Client
from iec62056_21.transports import SerialTransport

client = Iec6205621Client(transport=SerialTransport(port=sys.argv[1]))
client.connect()
answer = client.standard_readout()
client.disconnect()
registers = {data.address: [data.value, data.unit] for data in answer.data}
print(json.dumps({"maker": client.manufacturer_id, "speed": client.switchover_baudrate, "registers": registers}), flush=True)
