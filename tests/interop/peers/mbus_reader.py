"""Reads meters on an M-Bus with somebody else's master: mbus_reader.py DEVICE ADDRESS...

An address is a primary number, or a secondary address of sixteen digits. Prints a line of JSON for each:
the identification and the values in base units."""

import json
import sys

import meterbus
import serial

with serial.Serial(sys.argv[1], 2400, 8, "E", 1, timeout=1) as port:
    for address in sys.argv[2:]:
        if meterbus.is_secondary_address(address):
            meterbus.send_select_frame(port, address)
            target = meterbus.ADDRESS_NETWORK_LAYER
        else:
            target = int(address)
            meterbus.send_ping_frame(port, target)
        acknowledged = meterbus.load(meterbus.recv_frame(port, 1))
        assert isinstance(acknowledged, meterbus.TelegramACK), acknowledged
        meterbus.send_request_frame(port, target)
        frame = meterbus.load(meterbus.recv_frame(port, meterbus.FRAME_DATA_LENGTH))
        told = json.loads(frame.to_JSON())["body"]
        values = [[record["type"], record["unit"], float(record["value"])] for record in told["records"] if "DATE" not in record["type"]]
        print(json.dumps({"id": told["header"]["identification"].replace("0x", "").replace(", ", ""), "maker": told["header"]["manufacturer"], "values": values}), flush=True)
