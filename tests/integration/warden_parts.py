"""The real warden with a state folder, a prefix and a network of its own, and a client that speaks proto/warden.h as the header says it, by hand.

Needs root. `Left` compares what there was on the machine before and after.
"""

import array
import base64
import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

from suite import BIN, b58encode, wait_until

SIZE, UNION = 8448, 80
ALIVE, START, STOP, KILL, RESET, COUNT, EXEC, ALLOW, ERASE, SNAPSHOT, RELEASE = range(1, 12)
FOUND, READY, STARTED, FAILED, ENDED, GONE, COUNTED, EXECED, ERASED, STARTING, ALLOWED, SAVING, SNAPSHOTTED, RESETTED = range(101, 115)
ANY, PRESENT, FILLED = range(3)
FAILURE_OTHER, FAILURE_NO_VOLUME, FAILURE_ARCHIVE, FAILURE_VOLUME = range(4)
MADE, UNCHANGED, SECRET_FOUND, TOO_LARGE, NOT_SAVED = range(5)
NAMES = {
    FOUND: "FOUND", READY: "READY", STARTED: "STARTED", FAILED: "FAILED", ENDED: "ENDED", GONE: "GONE",
    COUNTED: "COUNTED", EXECED: "EXECED", ERASED: "ERASED", STARTING: "STARTING", ALLOWED: "ALLOWED",
    SAVING: "SAVING", SNAPSHOTTED: "SNAPSHOTTED", RESETTED: "RESETTED",
}  # fmt: skip
PORT = 18789
MIB = 1 << 20
LIMITS = {"memory": 128 * MIB, "pids": 64, "cpu": 100, "volume": 64 * MIB, "tmp": 8 * MIB, "connections": 100, "io": 0}


def text(value):
    return value.split(b"\0", 1)[0].decode()


def agent_id(seed):
    """A sandbox id, of whatever."""
    return base64.b32encode(hashlib.blake2b(str(seed).encode(), digest_size=20).digest()).decode().lower()


def wallet(seed):
    return b58encode(hashlib.sha256(str(seed).encode()).digest())


def memfd(files, seal=True, raw=None):
    """Files as START takes them: {path: bytes}, or (mode, bytes)."""
    fd = os.memfd_create("secrets", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    whole = raw if raw is not None else b""
    for path, content in (files or {}).items():
        mode, content = content if isinstance(content, tuple) else (0o400, content)
        whole += struct.pack("=IHH", len(content), mode, len(path.encode())) + path.encode() + content
    os.write(fd, whole)
    if seal:
        fcntl.fcntl(fd, 1033, 0x2 | 0x4 | 0x8)  # F_ADD_SEALS: SHRINK, GROW, WRITE
    return fd


def archive_of(number=1, boot="b0", owner="owner", period=7, key=b"s" * 32):
    """struct warden_archive: what an archive belongs to."""
    return struct.pack("=32sQ33s45s2xQ", key, number, boot.encode(), wallet(owner).encode(), period)


class Event:
    def __init__(self, packet, fd):
        self.version, self.what = struct.unpack_from("=II", packet)
        self.name = NAMES.get(self.what, self.what)
        self.agent, self.boot = text(packet[8:41]), text(packet[41:74])
        self.fd, u = fd, packet[UNION:]
        if self.what == FOUND:
            self.address, self.port, self.is_ending = socket.inet_ntoa(u[:4]), *struct.unpack_from("=H?", u, 4)
            (self.started_ms,), (self.period,) = struct.unpack_from("=Q", u, 8), struct.unpack_from("=Q", u, 128)
            self.image, self.wallet = text(u[16:81]), text(u[81:126])
        elif self.what == READY:
            self.slots, self.slots_used = struct.unpack_from("=QQ", u)
            self.runtime, self.warning, self.resolver = text(u[16:80]), text(u[80:240]), socket.inet_ntoa(u[240:244])
        elif self.what == STARTED:
            self.address = socket.inet_ntoa(u[:4])
            (self.port,), (self.ms,) = struct.unpack_from("=H", u, 4), struct.unpack_from("=Q", u, 8)
        elif self.what == ENDED:
            (self.was_asked,), (self.status,) = struct.unpack_from("=?", u), struct.unpack_from("=i", u, 4)
            (self.was_oom, self.is_held), (self.us,) = struct.unpack_from("=??", u, 8), struct.unpack_from("=Q", u, 16)
        elif self.what == FAILED:
            self.text, (self.failure,) = text(u[:160]), struct.unpack_from("=I", u, 160)
        elif self.what == SAVING:
            self.bytes, self.total_bytes = struct.unpack_from("=QQ", u)
        elif self.what == SNAPSHOTTED:
            self.outcome, self.bytes, self.files, self.stored_bytes, self.unsettled, self.skipped = struct.unpack_from("=I4x5Q", u)
            self.digest, self.fingerprint = u[48:80], u[80:112]
            self.path, self.kind, self.text = text(u[112:1136]), text(u[1136:1232]), text(u[1232:1392])
        elif self.what == STARTING:
            self.address = socket.inet_ntoa(u[:4])
        elif self.what == ALLOWED:
            (self.ticket,) = struct.unpack_from("=Q", u)
        elif self.what == COUNTED:
            (self.connections,) = struct.unpack_from("=Q", u)
        elif self.what == EXECED:
            self.status, self.was_cut, self.why = *struct.unpack_from("=i?", u), text(u[5:165])
            self.output = os.pread(fd, 1 << 20, 0) if fd is not None else None
        else:
            self.text = text(u[:160])

    def __repr__(self):
        return f"<{' '.join(f'{k}={v!r}' for k, v in vars(self).items())}>"


class Reader:
    """Of a pipe: what came by its end. end is the write end, given away by begin()."""

    def __init__(self):
        self.read_end, self.end = os.pipe()
        self.thread, self.data = None, b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close_end()
        if self.thread:
            self.thread.join(60)
        os.close(self.read_end)

    def close_end(self):
        if self.end is not None:
            os.close(self.end)
        self.end = None

    def begin(self):
        """From now on it is read; until then, what is written stays in the pipe."""
        self.close_end()

        def read():
            while chunk := os.read(self.read_end, 1 << 16):
                self.data += chunk

        self.thread = threading.Thread(target=read, daemon=True)
        self.thread.start()

    def rest(self):
        self.thread.join(60)
        assert not self.thread.is_alive(), "the archive has no end: somebody holds the pipe"
        return self.data


class Writer:
    """Of a pipe, whose read end is end; limit: only so much is written before go()."""

    def __init__(self, data, limit=None):
        self.end, self.write_end = os.pipe()
        self.data, self.going = data, threading.Event()
        self.limit = len(data) if limit is None else limit
        self.thread = threading.Thread(target=self.write, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close_end()
        self.go()
        self.thread.join(60)

    def close_end(self):
        if self.end is not None:
            os.close(self.end)
        self.end = None

    def go(self):
        self.going.set()

    def write(self):
        with contextlib.suppress(BrokenPipeError), open(self.write_end, "wb") as file:
            file.write(self.data[: self.limit])
            file.flush()
            if self.limit < len(self.data):
                self.going.wait(120)
                file.write(self.data[self.limit :])


class Client:
    """What sandbox is to warden."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(str(path))
        self.events, self.fds = [], []
        self.found = []
        while (event := self.next()).what != READY:
            assert event.what == FOUND, event
            self.found.append(event)
        self.ready = event

    def close(self):
        self.socket.close()
        for fd in self.fds:
            with contextlib.suppress(OSError):
                os.close(fd)
        self.fds = []

    def packet(self, what, agent="", boot="", body=b"", version=4):
        head = struct.pack("=II33s33s", version, what, agent.encode(), boot.encode())
        return (head + bytes(UNION - len(head)) + body).ljust(SIZE, b"\0")

    def send(self, what, agent="", boot="", body=b"", fds=(), **more):
        packet = self.packet(what, agent, boot, body, **more)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([packet], rights)

    def next(self, timeout=20.0):
        self.socket.settimeout(timeout)
        packet, rights, _, _ = self.socket.recvmsg(SIZE + 1, socket.CMSG_SPACE(4 * 4))
        if not packet:
            raise ConnectionResetError
        fds = array.array("i")
        for _, kind, data in rights:
            if kind == socket.SCM_RIGHTS:
                fds.frombytes(data)
        self.fds += fds
        assert len(packet) == SIZE and len(fds) <= 1
        return Event(packet, fds[0] if fds else None)

    def wait(self, *whats, agent=None, timeout=20.0):
        """The next event of these kinds; others are kept for who waits for them."""
        until = time.monotonic() + timeout
        while True:
            for i, event in enumerate(self.events):
                if event.what in whats and agent in (None, event.agent):
                    return self.events.pop(i)
            left = until - time.monotonic()
            assert left > 0, f"no {[NAMES[w] for w in whats]} of {agent}, but {self.events}"
            try:
                self.events.append(self.next(left))
            except TimeoutError:
                pass

    # ---- requests

    def alive(self):
        self.send(ALIVE)

    def start(self, agent, boot="b0", image="", owner="owner", period=7, key=b"k" * 32, files=None, fd=None, **more):
        kind, narrowed, ready_ms = more.pop("kind", ""), more.pop("narrowed", False), more.pop("ready_ms", 15000)
        ranges, volume, archive, pipe = more.pop("ranges", []), more.pop("volume", ANY), more.pop("archive", None), more.pop("pipe", None)
        limits = {**LIMITS, **more}
        body = struct.pack("=65s45s2xQ32s", image.encode(), wallet(owner).encode(), period, key)
        body += struct.pack("=7Q", *(limits[name] for name in LIMITS))
        body += struct.pack("=Q?16s", ready_ms, narrowed, kind.encode()) + b"\0" * 3
        body += struct.pack("=I", len(ranges)) + b"".join(socket.inet_aton(a) + struct.pack("=I", bits) for a, bits in ranges)
        body = body.ljust(1040, b"\0") + struct.pack("=I4x", volume) + (archive or b"")
        own = memfd({"token": b"s3cret"} if files is None else files) if fd is None else fd
        self.send(START, agent, boot, body, [own] if pipe is None else [own, pipe])
        os.close(own)

    def fill(self, agent, writer, archive=None, **more):
        """Starts it with a volume made of what writer writes."""
        self.start(agent, volume=FILLED, pipe=writer.end, archive=archive or archive_of(), **more)
        writer.close_end()

    def started(self, agent, **more):
        self.start(agent, **more)
        event = self.wait(STARTED, FAILED, agent=agent)
        assert event.what == STARTED, event
        return event

    def failed(self, agent, **more):
        self.start(agent, **more)
        event = self.wait(STARTED, FAILED, agent=agent)
        assert event.what == FAILED, event
        return event.text

    def stop(self, agent, boot="b0", grace_ms=3000, hold_ms=0):
        self.send(STOP, agent, boot, struct.pack("=QQ", grace_ms, hold_ms))

    def snapshot(self, agent, pipe, boot="b0", files=None, archive=None, roots=("kept",), excluded=(), bytes_max=1 << 40, level=3,
                 freeze=False, fingerprint=bytes(32), fd=None):
        """pipe: a write end, which stays the caller's."""
        body = (archive or archive_of()) + struct.pack("=Q32sB?", bytes_max, fingerprint, level, freeze)
        for names in (roots, excluded):
            body += b"".join(name.encode() + b"\0" for name in names).ljust(4096, b"\0")
        own = memfd({"token": b"s3cret"} if files is None else files) if fd is None else fd
        self.send(SNAPSHOT, agent, boot, body, [pipe, own])
        os.close(own)

    def release(self, agent, boot="b0"):
        self.send(RELEASE, agent, boot)

    def saved(self, agent, **more):
        """A whole snapshot: its SNAPSHOTTED, and the archive."""
        with Reader() as reader:
            self.snapshot(agent, reader.end, **more)
            reader.begin()
            event = self.wait(SNAPSHOTTED, agent=agent, timeout=60)
            return event, reader.rest()

    def kill(self, agent, boot="b0"):
        self.send(KILL, agent, boot)

    def ended(self, agent, timeout=20.0):
        event = self.wait(ENDED, agent=agent, timeout=timeout)
        gone = self.wait(GONE, agent=agent, timeout=timeout)
        assert gone.text == "", gone
        return event

    def killed(self, agent, boot="b0"):
        self.kill(agent, boot)
        return self.ended(agent)

    def exec(self, agent, *args, boot="b0", timeout_ms=5000):
        whole = b"".join(a.encode() + b"\0" for a in args)
        self.send(EXEC, agent, boot, struct.pack("=I8192s4xQ", len(whole), whole, timeout_ms))
        return self.wait(EXECED, agent=agent)

    def count(self, agent, boot="b0"):
        self.send(COUNT, agent, boot)
        return self.wait(COUNTED, agent=agent).connections

    def reset(self, agent, boot="b0"):
        self.send(RESET, agent, boot)
        return self.wait(RESETTED, agent=agent).text

    def allow(self, agent, *addresses, ticket=1, ttl_s=60, boot="b0"):
        body = struct.pack("=I", len(addresses)) + b"".join(map(socket.inet_aton, addresses)).ljust(128, b"\0")
        self.send(ALLOW, agent, boot, body + struct.pack("=IQ", ttl_s, ticket))

    def erase(self, agent, owner="owner", period=7):
        self.send(ERASE, agent, "", struct.pack("=45s3xQ", wallet(owner).encode(), period))
        return self.wait(ERASED, agent=agent).text


class Warden:
    def __init__(self, prefix="o0", network="10.221.0.0/17", **settings):
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="mcw-"))
        self.prefix, self.network = prefix, network
        for folder in ("run", "images", "images/names"):
            (self.state / folder).mkdir()
        self.env = {
            **os.environ,
            "MULTICLAW_STATE_DIR": str(self.state),
            "MULTICLAW_COLLECTION": "1" * 32,
            "MULTICLAW_WARDEN_PREFIX": prefix,
            "MULTICLAW_WARDEN_NETWORK": network,
            "MULTICLAW_WARDEN_QUARANTINE_S": "0",
            "MULTICLAW_WARDEN_STOP_ON_EXIT": "yes",
            **{name: str(value) for name, value in settings.items()},
        }
        self.process, self.clients, self.socket = None, [], self.state / "run/sandbox-1.warden"

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.state, ignore_errors=True)

    def start(self, wait=True, session=False, **more):
        self.log = open(self.state / "warden.log", "ab")
        env = {**self.env, **{name: str(value) for name, value in more.items()}}
        self.process = subprocess.Popen([BIN / "multiclaw-warden"], env=env, stdout=self.log, stderr=self.log, start_new_session=session)
        if wait:
            wait_until("warden", lambda: self.answers(), 15)
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"warden ended: {self.said()}")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            return s.connect_ex(str(self.socket)) == 0

    def said(self):
        return (self.state / "warden.log").read_text()

    def client(self):
        """Not by the socket of one that was killed: a job that it had just forked may hold that for a moment."""

        def connect():
            try:
                return Client(self.socket)
            except ConnectionError:
                return None

        self.clients.append(wait_until("warden takes a connection", connect, 10))
        return self.clients[-1]

    def hang_up(self):
        for client in self.clients:
            client.close()
        self.clients = []

    def stop(self):
        self.hang_up()
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    def kill9(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.hang_up()

    # ---- images

    def image(self, *cmd, rootfs=None, **more):
        """A folder of the image store with busybox in it; returns its digest."""
        about = {"entrypoint": [], "cmd": list(cmd), "env": ["PATH=/bin"], "cwd": "/data", "user": "", "kind": "", **more}
        digest = hashlib.sha256(json.dumps(about).encode() + os.urandom(8)).hexdigest()
        folder = self.state / "images" / digest
        folder.mkdir()
        (folder / "image.json").write_text(json.dumps({"digest": digest, "name": "test", **about}))
        root = folder / "rootfs"
        for name in ("bin", "proc", "sys", "dev", "tmp", "data", "run/secrets", "etc"):
            (root / name).mkdir(parents=True)
        (root / "tmp").chmod(0o1777)
        shutil.copy("/usr/bin/busybox", root / "bin/busybox")
        for name in ("sh", "httpd", "sleep", "cat", "ls", "id", "mount", "echo", "head", "dd", "stat", "kill", "nc", "unshare", "tail"):
            (root / "bin" / name).symlink_to("busybox")
        for name in ("resolv.conf", "hosts", "hostname"):
            (root / "etc" / name).touch()
        for folder_ in [root, *root.rglob("*")]:
            if folder_.is_dir() and not folder_.is_symlink() and folder_.name != "tmp":
                folder_.chmod(0o755)
        return digest

    def shell(self, script):
        """An image that runs a script and then serves /data."""
        return self.image("/bin/sh", "-c", f"{script}\nexec httpd -f -p {PORT} -h /data")


def get(address, path="/", timeout=5.0):
    connection = http.client.HTTPConnection(address, PORT, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Left:
    """What containers are made of, on the whole machine; or, if another warden runs on it, what names this one's prefix or state folder."""

    def __init__(self, warden):
        self.warden = warden
        self.before = self.look()

    def is_alone(self):
        return sum("multiclaw-warden" in self.read(f"/proc/{p}/cmdline").split("\0")[0] for p in self.pids()) <= 1

    def is_ours(self, text):
        return str(self.warden.state) in text or f"multiclaw-{self.warden.prefix}/" in text

    def look(self):
        prefix, alone = self.warden.prefix, self.is_alone()
        lines = {
            "namespaces": self.namespaces(),
            "mounts": {m for pid in self.pids() for m in self.mounts(pid) if self.is_ours(m) or (alone and ("multiclaw" in m or "gocryptfs" in m))},
            "cgroups": self.cgroups(),
            "loops": {p.parent.parent.name for p in pathlib.Path("/sys/block").glob("loop*/loop/backing_file") if alone},
            "links": {p.name for p in pathlib.Path("/sys/class/net").iterdir() if p.name.startswith(prefix)},
            "elements": self.elements(),
            "processes": self.processes(alone),
            "runtime": {p.name for p in (self.warden.state / f"run/warden-{prefix}/runtime").glob("*")},
            "records": {p.name for p in (self.warden.state / f"run/warden-{prefix}/agents").glob("*")},
            "exec": {p.name for p in (self.warden.state / f"run/warden-{prefix}").glob("exec-*")},
        }
        return lines

    def cgroups(self):
        """Folders below the prefix's, in every hierarchy; others come and go meanwhile."""
        found = set()
        for base in ["/sys/fs/cgroup", *(f"/sys/fs/cgroup/{name}" for name in os.listdir("/sys/fs/cgroup"))]:
            top = f"{base}/multiclaw-{self.warden.prefix}"
            found |= {folder for folder, _, _ in os.walk(top) if folder != top}
        return found

    @staticmethod
    def pids():
        return [p for p in os.listdir("/proc") if p.isdigit()]

    @staticmethod
    def mounts(pid):
        try:
            return [line.split(" ", 1)[1] for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
        except OSError:
            return []

    def namespaces(self):
        """Of processes that are ours: those in the prefix's cgroups."""
        return {p for p in self.pids() if f"multiclaw-{self.warden.prefix}" in self.read(f"/proc/{p}/cgroup")}

    @staticmethod
    def read(path):
        try:
            return pathlib.Path(path).read_text()
        except OSError:
            return ""

    def elements(self):
        out = subprocess.run(["nft", "-j", "list", "table", "inet", f"{self.warden.prefix}_agents"], capture_output=True, text=True)
        if out.returncode != 0:
            return set()
        found = set()
        for item in json.loads(out.stdout)["nftables"]:
            for element in item.get("set", {}).get("elem", []) + item.get("map", {}).get("elem", []):
                found.add(f"{item.get('set', item.get('map'))['name']} {json.dumps(element)}")
        return found

    def processes(self, alone):
        found = set()
        for pid in self.pids():
            line = self.read(f"/proc/{pid}/cmdline").replace("\0", " ")
            if ("gocryptfs" in line or "runc" in line or "catatonit" in line or "/dev/init" in line) and self.read(f"/proc/{pid}/stat").split(")")[-1][1:2] != "Z":
                if alone or self.is_ours(line + self.read(f"/proc/{pid}/cgroup")):
                    found.add(f"{pid} {line}")
        return found

    def check(self, seconds=5.0):
        """Nothing more than before."""

        def more():
            now = self.look()
            return {name: sorted(now[name] - self.before[name]) for name in now if now[name] - self.before[name]}

        until = time.monotonic() + seconds
        while (left := more()) and time.monotonic() < until:
            time.sleep(0.05)
        assert not left, left


@contextlib.contextmanager
def wardens(prefix, network):
    """make(SLOTS=2): a warden of a test's own; all are stopped at the end."""
    made = []

    def make(**settings):
        made.append(Warden(prefix, network, **{f"MULTICLAW_WARDEN_{k}": v for k, v in settings.items()}))
        return made[-1].start()

    try:
        yield make
    finally:
        for each in made:
            each.__exit__()
