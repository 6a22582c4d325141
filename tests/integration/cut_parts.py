"""Ways to take something away from a process that nothing of ours is asked for: what lies between two sockets, the network, the wall clock."""

import contextlib
import mmap
import os
import pathlib
import selectors
import socket
import struct
import subprocess
import threading

from private_network import NEWNET, check, libc, sh

HERE = pathlib.Path(__file__).parent


class Relay:
    """Carries bytes from those who connect to `listen` (a path, or (address, port)) to the socket at `target`, and back.

    lose(): from now on both directions lose everything, and nobody is told. hold(): what the target says stays here, what it is told goes on."""

    def __init__(self, listen, target):
        self.target, self.losing, self.holding = str(target), False, False
        self.selector, self.peers = selectors.DefaultSelector(), {}
        if isinstance(listen, tuple):
            self.listener = socket.create_server(listen)
            self.port = self.listener.getsockname()[1]
        else:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(listen))
            os.chmod(listen, 0o666)
            self.listener.listen(64)
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.carry, daemon=True)
        self.thread.start()

    def lose(self):
        self.losing = True

    def hold(self):
        self.holding = True

    def stop(self):
        self.stopping.set()
        self.thread.join(5)
        for end in [self.listener, *self.peers]:
            end.close()
        self.selector.close()

    def accept(self):
        near, far = self.listener.accept()[0], socket.socket(socket.AF_UNIX)
        try:
            far.connect(self.target)
        except OSError:
            near.close()
            far.close()
            return
        for end, other in ((near, far), (far, near)):
            self.peers[end] = (other, end is far)
            self.selector.register(end, selectors.EVENT_READ)

    def drop(self, end):
        for one in (end, self.peers[end][0]):
            del self.peers[one]
            with contextlib.suppress(KeyError):
                self.selector.unregister(one)
            one.close()

    def pass_on(self, end):
        other, is_far = self.peers[end]
        if self.holding and is_far:
            self.selector.unregister(end)  # for good
            return
        try:
            data = end.recv(65536)
            if data and not self.losing:
                other.sendall(data)
        except OSError:
            data = b""
        if not data:
            self.drop(end)

    def carry(self):
        while not self.stopping.is_set():
            for key, _ in self.selector.select(0.05):
                if key.fileobj is self.listener:
                    self.accept()
                elif key.fileobj in self.peers:
                    self.pass_on(key.fileobj)


class Network:
    """The test and what it starts in a network namespace of their own, and a second one, one cable away, whose packets can be lost. Needs root."""

    here, there = "10.99.0.1", "10.99.0.2"

    def __enter__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        check(libc.unshare(NEWNET))
        self.other = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo made; read _"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.other.stdout.readline() == "made\n"
        sh(f"ip link set lo up; ip link add cut0 type veth peer name cut1 netns {self.other.pid}; ip address add {self.here}/24 dev cut0; ip link set cut0 up")
        subprocess.run([*self.inside, "sh", "-ec", f"ip link set lo up; ip address add {self.there}/24 dev cut1; ip link set cut1 up"], check=True)
        return self

    @property
    def inside(self):
        """Words before a command that runs there."""
        return ["nsenter", f"--net=/proc/{self.other.pid}/ns/net", "--"]

    def cut(self):
        rules = 'table inet cut { chain in { type filter hook input priority 0; iifname "cut0" drop; }; chain out { type filter hook output priority 0; oifname "cut0" drop; }; }'
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)

    def heal(self):
        sh("nft delete table inet cut")

    def __exit__(self, *exc):
        self.other.kill()
        self.other.wait()
        check(libc.setns(self.home, NEWNET))
        os.close(self.home)


class WallClocks:
    """Shifts the wall clock (and no other) of processes while they run: by the name of the program, or of the replica. `env` is for whoever starts them."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        library = folder / "wall_clock.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", library, HERE / "wall_clock.c"], check=True)
        self.env = {"LD_PRELOAD": str(library), "WALL_CLOCKS": str(folder)}
        self.maps = {}

    def add(self, name):
        path = self.folder / name
        path.write_bytes(bytes(8))
        for one in (self.folder, self.folder / "wall_clock.so", path):
            one.chmod(0o755)
        with open(path, "r+b") as file:
            self.maps[name] = mmap.mmap(file.fileno(), 8)

    def shift(self, name, seconds):
        self.maps[name][:] = struct.pack("=q", seconds)
