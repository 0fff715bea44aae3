"""Reads what a customer port sends with somebody else's parser: p1_reader.py DEVICE

Prints what it has understood as a line of JSON, then the telegram that its documentation shows, as a second one."""

import glob
import json
import re
import sys
import tarfile

import serial
from dsmr_parser import telegram_specifications
from dsmr_parser.clients.telegram_buffer import TelegramBuffer
from dsmr_parser.parsers import TelegramParser

port = serial.Serial(sys.argv[1], 115200, timeout=10)
buffer = TelegramBuffer()
telegrams = []
while not telegrams:
    buffer.append(port.read(64).decode("ascii"))
    telegrams = list(buffer.get_all())
telegram = TelegramParser(telegram_specifications.V5).parse(telegrams[0])
gas = telegram.MBUS_DEVICES[0].MBUS_METER_READING
print(
    json.dumps(
        {
            "energy": str(telegram.ELECTRICITY_USED_TARIFF_1.value),
            "gas": [str(gas.value), gas.unit, int(gas.datetime.timestamp())],
        }
    ),
    flush=True,
)
archive = tarfile.open(glob.glob(f"{sys.prefix}/sources/dsmr*parser-*.tar.gz")[0])
readme = next(member for member in archive.getmembers() if member.name.endswith("/README.rst"))
text = archive.extractfile(readme).read().decode()
begin = text.index("telegram_str = (")
pieces = re.findall(r"'(.*?)'\n", text[begin : text.index("\n    )", begin) + 1])
print(json.dumps("".join(pieces).encode("ascii").decode("unicode_escape")), flush=True)
