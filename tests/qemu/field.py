"""What hangs on the serial ports of the guest: a Modbus controller and a meter, each behind a socket."""
import os
import socket
import threading
import time


class Line:
    """The far end of a serial port: whoever opens it later talks to the same device."""

    def __init__(self, path):
        if os.path.exists(path):
            os.unlink(path)
        self.path = path
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(path)
        self.listening.listen(1)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            connected, _ = self.listening.accept()
            try:
                self.talk(connected)
            except OSError:
                # The guest lost its power, or the adapter was pulled.
                pass


def crc(data):
    """As both Modbus RTU and P1 have it, but for their first value."""
    return _crc(data, 0xFFFF)


def _crc(data, value):
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


class Controller(Line):
    """A Modbus RTU slave, unit 17. Input register 0 counts how often it was read; holding registers keep
    what is written."""

    UNIT = 17

    def __init__(self, path):
        self.count = 0
        self.holding = [0] * 16
        super().__init__(path)

    def talk(self, connected):
        request = b""
        while data := connected.recv(256):
            request += data
            # All requests that this device is asked have eight bytes.
            while len(request) >= 8:
                if crc(request[:8]) == 0 and request[0] == self.UNIT:
                    answer = self._answer(request[1], *(int.from_bytes(request[at:at + 2], "big") for at in (2, 4)))
                    answer = bytes([self.UNIT]) + answer
                    connected.sendall(answer + crc(answer).to_bytes(2, "little"))
                    request = request[8:]
                else:
                    request = request[1:]

    def _answer(self, function, at, value):
        if function == 4 and at == 0 and value == 1:
            self.count += 1
            return bytes([4, 2]) + self.count.to_bytes(2, "big")
        if function == 3 and at + value <= len(self.holding):
            return bytes([3, 2 * value]) + b"".join(it.to_bytes(2, "big") for it in self.holding[at:at + value])
        if function == 6 and at < len(self.holding):
            self.holding[at] = value
            return bytes([6]) + at.to_bytes(2, "big") + value.to_bytes(2, "big")
        return bytes([function | 0x80, 2])


class Meter(Line):
    """A meter with a customer port (P1), which tells its reading every second."""

    def __init__(self, path, energy_kwh):
        self.energy = energy_kwh
        super().__init__(path)

    def talk(self, connected):
        while True:
            text = f"/TST5 METER\r\n\r\n1-3:0.2.8(50)\r\n1-0:1.8.1({self.energy:010.3f}*kWh)\r\n!".encode()
            connected.sendall(text + f"{_crc(text, 0):04X}\r\n".encode())
            time.sleep(1)
