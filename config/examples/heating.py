#!/usr/bin/env python3
"""Serves a device with `adapter = "remote"`: a heating circuit with a flow temperature, a set point
and as many rooms as it finds. Python's own library is all it needs; the protocol is in README.md.

    heating.py --socket /run/lamplighter/adapters.sock --device heating
"""

import argparse
import json
import select
import socket
import sys
import time

FLOW = "/3303/0/5700"
SET_POINT = "/3308/0/5900"
ROOMS = ["/3303/10/5700", "/3303/11/5700"]
RESET = "/3303/10/5605"

SAMPLE_S = 1.0
RECONNECT_S = 2.0


class Circuit:
    """The device itself. A real program would talk to hardware here."""

    def __init__(self):
        self.set_point = 21.0
        self.flow = 35.0
        self.rooms = {path: 20.0 for path in ROOMS}

    def work(self):
        self.flow += (self.set_point + 15 - self.flow) * 0.1
        for path, temperature in self.rooms.items():
            self.rooms[path] = temperature + (self.set_point - temperature) * 0.05

    def samples(self):
        now = round(time.time(), 3)
        values = {FLOW: self.flow, SET_POINT: self.set_point, **self.rooms}
        return [
            {"path": path, "value": round(value, 2), "unit": "Cel", "time": now}
            for path, value in values.items()
        ]


class Connection:
    """Lines of JSON, both ways."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.input = b""

    def say(self, **line):
        # Blocks where we are too fast: the agent reads no faster than it promised.
        self.socket.sendall(json.dumps(line, allow_nan=False).encode() + b"\n")

    def lines(self, seconds):
        """What has come within a time; nothing more comes after ConnectionError."""
        readable, _, _ = select.select([self.socket], [], [], max(seconds, 0))
        if not readable:
            return
        received = self.socket.recv(65536)
        if not received:
            raise ConnectionError("the agent has gone")
        *lines, self.input = (self.input + received).split(b"\n")
        for line in lines:
            yield json.loads(line)


def answer(connection, circuit, line):
    kind = line["type"]
    if kind == "closing":
        raise ConnectionError(line["reason"])
    if kind == "error":
        print("the agent says:", line["reason"], file=sys.stderr)
    elif kind == "read":
        asked = [sample for sample in circuit.samples() if sample["path"] in line["paths"]]
        connection.say(type="done", id=line["id"], samples=asked)
    elif kind in ("write", "execute") and is_late(line):
        # It has failed already: nobody expects it to be done now.
        print("too late for", kind, line["id"], file=sys.stderr)
    elif kind == "write":
        write(connection, circuit, line)
    elif kind == "execute":
        # The only one that we have declared: begin the lowest and highest value anew.
        connection.say(type="done", id=line["id"])
    # welcome, alive, expired, and what later versions may say: nothing to do.


def is_late(line):
    return time.clock_gettime(time.CLOCK_BOOTTIME) * 1000 >= line["deadline_uptime_ms"]


def write(connection, circuit, line):
    value = line["values"][0]["value"]
    if not 5 <= value <= 30:
        reason = "between 5 and 30 degrees"
        connection.say(type="failed", id=line["id"], cause="bad_value", reason=reason)
        return
    circuit.set_point = float(value)
    # What the device does now goes with the answer: nobody has to ask for it.
    written = [sample for sample in circuit.samples() if sample["path"] == SET_POINT]
    connection.say(type="done", id=line["id"], samples=written)


def serve(options, circuit):
    connection = Connection(options.socket)
    connection.say(type="hello", version=1, device=options.device, program="heating.py")
    rooms = [{"path": path, "read": True} for path in ROOMS]
    reset = {"path": RESET, "execute": True}
    # `all`: what an older version of this program has declared and we do not is gone.
    connection.say(type="declare", all=True, added=[*rooms, reset])
    due = time.monotonic()
    while True:
        for line in connection.lines(due - time.monotonic()):
            answer(connection, circuit, line)
        if time.monotonic() >= due:
            due += SAMPLE_S
            circuit.work()
            connection.say(type="samples", samples=circuit.samples())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--socket", default="/run/lamplighter/adapters.sock")
    parser.add_argument("--device", default="heating")
    options = parser.parse_args()
    circuit = Circuit()
    while True:
        try:
            serve(options, circuit)
        except OSError as error:
            print("not connected:", error, file=sys.stderr)
            time.sleep(RECONNECT_S)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
