"""A real LwM2M server: Leshan, by the front that the interop tests drive it with, line by line."""
import collections
import glob
import json
import queue
import subprocess
import threading
import time

from guest import Failed

KEY = "000102030405060708090a0b0c0d0e0f"


class Leshan:
    """A server on a free port of this machine, which a box may register with by its name and `KEY`."""

    def __init__(self, peers, models, endpoint):
        home = f"{peers}/leshan-2.0.0-M18"
        if not glob.glob(f"{home}/stamp"):
            raise Failed(f"no Leshan in {home}: run `make peers`")
        self.endpoint = endpoint
        self.java = subprocess.Popen(
            ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
             "-cp", f"{home}/lib/*:{home}/classes", "LeshanPeer", models],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        self.events = collections.deque()
        self.number = 0
        threading.Thread(target=self._hear, daemon=True).start()
        self.event(90, lambda line: line.get("event") == "ready")
        opened = self.ask("open", endpoints=["coaps"], properties={"DTLS.CONNECTION_ID_LENGTH": "6"})
        self.port = int(opened["uris"][0].rpartition(":")[2])
        self.ask("credential", psk={"identity": endpoint, "key": KEY})

    def _hear(self):
        for line in self.java.stdout:
            self.lines.put(json.loads(line))

    def event(self, seconds, fits):
        """The first line that fits, of those that came and those to come."""
        for line in self.events:
            if fits(line):
                self.events.remove(line)
                return line
        end = time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(0, end - time.monotonic()))
            except queue.Empty:
                raise Failed(f"Leshan did not say it within {seconds} s") from None
            if fits(line):
                return line
            self.events.append(line)

    def named(self, seconds, name):
        return self.event(seconds, lambda line: line.get("event") == name)

    def all(self):
        """What came so far and nobody has asked for; it is forgotten."""
        while not self.lines.empty():
            self.events.append(self.lines.get())
        came = list(self.events)
        self.events.clear()
        return came

    def forget(self):
        self.all()

    def begin(self, command, **more):
        """Sends a command and does not wait: its number."""
        self.number += 1
        line = {"server": 1, "id": self.number, "do": command, "endpoint": self.endpoint, **more}
        self.java.stdin.write(json.dumps(line) + "\n")
        self.java.stdin.flush()
        return self.number

    def answer(self, number, seconds=30):
        return self.event(seconds, lambda line: line.get("id") == number)

    def ask(self, command, **more):
        """Sends a command to the server, or through it to the box; the answer must not be an error."""
        answer = self.answer(self.begin(command, **more))
        if answer.get("error") or answer.get("code", 200) >= 400:
            raise Failed(f"{command} {more}: {answer}")
        return answer

    def read(self, path):
        return self.ask("read", path=path)["content"]

    def write(self, path, kind, value):
        return self.ask("write", path=path, format="TLV", node=[kind, value])

    def close(self):
        self.java.stdin.close()
        self.java.wait(30)
