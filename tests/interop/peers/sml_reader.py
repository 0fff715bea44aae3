"""Reads what an SML meter sends with somebody else's parser: sml_reader.py DEVICE

Prints number and values of the first whole telegram as a line of JSON."""

import json
import sys

import serial
from smllib import SmlStreamReader

port = serial.Serial(sys.argv[1], 9600, timeout=10)
reader = SmlStreamReader()
frame = None
while frame is None:
    reader.add(port.read(64))
    frame = reader.get_frame()
values = {entry.obis.obis_code: [entry.value, entry.scaler, entry.unit] for entry in frame.get_obis()}
print(json.dumps(values), flush=True)
