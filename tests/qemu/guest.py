"""The machines that are tested: QEMU's `virt` with an arm64 processor, a Raspberry Pi 3, and what is
wired to them.

The host sits at the other end of everything: of the pins, of the serial ports, of the network, and of a
shell in the guest.
"""
import base64
import json
import os
import queue
import signal
import socket
import subprocess
import threading
import time


class Failed(Exception):
    """A check does not hold."""


def until(what, seconds, look):
    """What `look` says once it is not false."""
    end = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(0.05)


class Machine:
    """One start of a machine, from power on to power off."""

    def __init__(self, work, arguments):
        self.work = work
        self.edges = queue.Queue()
        self.started = time.monotonic()
        listening = {name: self._listen(name) for name in ("shell", "qtest", "qmp")}
        command = [
            "qemu-system-aarch64", "-accel", "tcg", "-nodefaults", "-nographic", "-no-reboot",
            "-kernel", f"{work}/kernel", "-chardev", f"socket,id=shell,path={work}/shell",
            "-qtest", f"unix:{work}/qtest", "-qtest-log", "none", "-qmp", f"unix:{work}/qmp",
            *arguments,
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        accepted = {name: self._accept(name, socket) for name, socket in listening.items()}
        self.shell = accepted["shell"].makefile("rw", newline="\n", errors="replace")
        self._qmp = accepted["qmp"].makefile("rw", newline="\n")
        self._qtest = accepted["qtest"].makefile("rw", newline="\n")
        self._answers = queue.Queue()
        threading.Thread(target=self._hear, daemon=True).start()
        self._qmp.readline()
        self.qmp("qmp_capabilities")
        self.chip = self.find_chip()
        self.qtest(f"irq_intercept_out {self.chip}")

    def _listen(self, name):
        path = f"{self.work}/{name}"
        if os.path.exists(path):
            os.unlink(path)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen(1)
        return listening

    def _accept(self, name, listening):
        listening.settimeout(20)
        try:
            accepted, _ = listening.accept()
        except TimeoutError:
            raise Failed(f"QEMU does not come to {name}, exit code {self.process.poll()}") from None
        listening.close()
        accepted.settimeout(None)
        return accepted

    # ── pins ──

    def _hear(self):
        """Edges of pins come between answers: `IRQ raise 5`."""
        try:
            for line in self._qtest:
                words = line.split()
                if words[:1] == ["IRQ"]:
                    self.edges.put((time.monotonic(), int(words[2]), words[1] == "raise"))
                else:
                    self._answers.put(words)
        except OSError:
            pass

    def qtest(self, command):
        self._qtest.write(command + "\n")
        self._qtest.flush()
        words = self._answers.get(timeout=20)
        if words[0] != "OK":
            raise Failed(f"{command}: {' '.join(words)}")
        return words[1:]

    def edge(self, line, seconds):
        """Waits for the next edge of an output: its level."""
        end = time.monotonic() + seconds
        while True:
            try:
                _, number, level = self.edges.get(timeout=max(0, end - time.monotonic()))
            except queue.Empty:
                raise Failed(f"no edge of line {line} within {seconds} s") from None
            if number == line:
                return level

    def quiet(self):
        """Forgets the edges that came so far; how many there were."""
        count = 0
        while not self.edges.empty():
            self.edges.get()
            count += 1
        return count

    def qmp(self, command, **arguments):
        self._qmp.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._qmp.flush()
        while True:
            answer = json.loads(self._qmp.readline())
            if "error" in answer:
                raise Failed(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    # ── the shell ──

    def up(self, seconds=120):
        """Waits for the shell; how long that took."""
        # A serial port may begin with a byte that nobody sent.
        while not self._line(seconds, "the guest starts").endswith("ready"):
            pass
        return time.monotonic() - self.started

    def _line(self, seconds, what):
        lines = queue.Queue()
        threading.Thread(target=lambda: lines.put(self.shell.readline()), daemon=True).start()
        try:
            line = lines.get(timeout=seconds)
        except queue.Empty:
            raise Failed(f"not within {seconds} s: {what}") from None
        if not line:
            raise Failed(f"the guest has ended: {what}")
        return line.strip()

    def tell(self, script):
        """Begins a command and does not wait for it."""
        self.shell.write(base64.b64encode(script.encode()).decode() + "\n")
        self.shell.flush()

    def attempt(self, script, seconds=60):
        """Runs a command: its exit code and what it said."""
        self.tell(script)
        code, _, said = self._line(seconds, script).partition(" ")
        return int(code), base64.b64decode(said).decode(errors="replace").strip()

    def run(self, script, seconds=60):
        """Runs a command that must not fail; what it said."""
        code, said = self.attempt(script, seconds)
        if code:
            raise Failed(f"{script}\nexit code {code}\n{said}")
        return said

    # ── power ──

    def cut(self):
        """Power off, in the middle of whatever is going on."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Guest(Machine):
    """A board with a disk, a network, a GPIO chip (PL061, 8 lines, of which 3 is the power button) and USB."""

    # Registers of the chip.
    DATA, DIRECTION = 0x90303FC, 0x9030400

    def __init__(self, work, ports):
        """`ports`: sockets behind the serial ports ttyS0 …"""
        arguments = [
            "-M", "virt", "-cpu", "cortex-a53", "-smp", "2", "-m", "512", "-initrd", f"{work}/initrd", "-append",
            "console=ttyAMA0 quiet loglevel=3 panic=-1 mitigations=off systemd.show_status=0 rw",
            "-serial", f"file:{work}/console",
            "-drive", f"file={work}/disk,if=none,id=disk,format=raw", "-device", "virtio-blk-pci,drive=disk",
            "-netdev", "user,id=cable", "-device", "virtio-net-pci,netdev=cable,romfile=",
            "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
            "-device", "virtserialport,chardev=shell,name=shell", "-device", "qemu-xhci,id=usb",
        ]
        for number, path in enumerate(ports):
            arguments += ["-chardev", f"socket,id=port{number},path={path}", "-device", f"pci-serial,chardev=port{number}"]
        super().__init__(work, arguments)

    def find_chip(self):
        devices = self.qmp("qom-list", path="/machine/unattached")
        [name] = [it["name"] for it in devices if "pl061" in it["type"]]
        return f"/machine/unattached/{name}"

    def drive(self, line, level):
        """Puts a level on an input of the chip."""
        self.qtest(f"set_irq_in {self.chip} unnamed-gpio-in {line} {int(level)}")

    def level(self, line):
        """What the chip puts on an output; none where it does not drive the line."""
        data, driven = (int(self.qtest(f"readl {at:#x}")[0], 16) >> line & 1 for at in (self.DATA, self.DIRECTION))
        return bool(data) if driven else None

    def plug(self, path):
        """Plugs in a USB serial adapter with the socket `path` at its other end."""
        backend = {"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": path}}, "server": False}}
        self.qmp("chardev-add", id="adapter", backend=backend)
        self.qmp("device_add", driver="usb-serial", id="adapter", bus="usb.0", serial="A1", chardev="adapter")

    def pull(self):
        """Pulls it out."""
        def released():
            try:
                return self.qmp("chardev-remove", id="adapter") == {}
            except Failed:
                # The machine lets go of it some time later.
                return False
        self.qmp("device_del", id="adapter")
        until("the adapter is gone", 20, released)

    def stop(self):
        """Power off as people do it."""
        self.tell("systemctl poweroff --no-block")
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.cut()
            raise Failed("the guest does not end") from None

    def console(self):
        with open(f"{self.work}/console", errors="replace") as file:
            return file.read()


class Raspberry(Machine):
    """A Raspberry Pi 3 without anything but its pins. QEMU has neither its pull resistors nor the
    interrupts of its pins."""

    GPIO = 0x3F200000

    def __init__(self, work):
        super().__init__(work, [
            "-M", "raspi3b", "-initrd", f"{work}/pi-initrd", "-dtb", f"{work}/pi-tree",
            # Without iomem nobody may write the registers of a pin that has a driver.
            "-append", "console=ttyS1,115200 quiet loglevel=0 panic=-1 iomem=relaxed",
            # The first port is the one of Bluetooth.
            "-serial", "null", "-serial", "chardev:shell",
        ])

    def find_chip(self):
        return "/machine/soc/peripherals/gpio"

    def drive(self, line, level):
        """Puts a level on an input: here the registers that set outputs do so for inputs too."""
        self.qtest(f"writel {self.GPIO + (0x1C if level else 0x28):#x} {1 << line:#x}")
