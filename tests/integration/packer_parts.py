"""multiclaw-packer as warden starts it (proto/packer.h), and its archives read and made without any code of ours: libsodium by pynacl, zstd's own program, Python's tarfile."""

import ctypes
import io
import os
import pathlib
import secrets
import signal
import socket
import struct
import subprocess
import tarfile
import threading
import time

from nacl import bindings as sodium

BINARY = pathlib.Path(os.environ.get("BUILD", "build")) / "bin/multiclaw-packer"
VERSION, CHUNK, OVERHEAD, HEADER = 1, 65536, 17, 24
MADE, UNCHANGED, SECRET_FOUND, TOO_LARGE, NOT_SAVED = range(5)
PROGRESS, DONE = range(2)
UID = 231072  # nobody's
ROOTS_BYTES = 4096


class Archive(ctypes.Structure):
    _fields_ = [
        ("key", ctypes.c_uint8 * 32),
        ("number", ctypes.c_uint64),
        ("boot", ctypes.c_char * 33),
        ("wallet", ctypes.c_char * 45),
        ("period", ctypes.c_uint64),
    ]


class Order(ctypes.Structure):
    _fields_ = [
        ("version", ctypes.c_uint32),
        ("is_unpacking", ctypes.c_bool),
        ("uid", ctypes.c_uint32),
        ("gid", ctypes.c_uint32),
        ("agent", ctypes.c_char * 33),
        ("archive", Archive),
        ("bytes_max", ctypes.c_uint64),
        ("fingerprint", ctypes.c_uint8 * 32),
        ("level", ctypes.c_uint8),
        ("roots", ctypes.c_uint8 * ROOTS_BYTES),
        ("excluded", ctypes.c_uint8 * ROOTS_BYTES),
    ]


class Report(ctypes.Structure):
    _fields_ = [
        ("kind", ctypes.c_uint32),
        ("outcome", ctypes.c_uint32),
        ("is_damaged", ctypes.c_bool),
        *((name, ctypes.c_uint64) for name in ("bytes", "total_bytes", "files", "stored_bytes", "unsettled", "skipped")),
        ("digest", ctypes.c_uint8 * 32),
        ("fingerprint", ctypes.c_uint8 * 32),
        ("path", ctypes.c_char * 1024),
        ("kind_of_secret", ctypes.c_char * 96),
        ("text", ctypes.c_char * 160),
    ]


class Name:
    """What an archive belongs to."""

    def __init__(self, **changes):
        self.key = bytes(range(32))
        self.agent, self.wallet, self.boot = "a" * 32, "4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM", "0123456789abcdef"
        self.period, self.number = 77, 5
        self.__dict__.update(changes)

    def bound(self):
        texts = [text.encode() + b"\0" for text in (self.agent, self.wallet, self.boot)]
        return b"multiclaw archive 1\0" + texts[0] + texts[1] + struct.pack("<QQ", self.period, self.number) + texts[2]


def _list(names):
    packed = b"".join(os.fsencode(name) + b"\0" for name in names)
    return (ctypes.c_uint8 * ROOTS_BYTES)(*packed)


def order_of(name, is_unpacking, roots=(), excluded=(), bytes_max=1 << 40, level=3, fingerprint=bytes(32), uid=UID, version=VERSION):
    order = Order(version=version, is_unpacking=is_unpacking, uid=uid, gid=uid, agent=name.agent.encode(), bytes_max=bytes_max, level=level)
    order.archive = Archive((ctypes.c_uint8 * 32)(*name.key), name.number, name.boot.encode(), name.wallet.encode(), name.period)
    order.fingerprint = (ctypes.c_uint8 * 32)(*fingerprint)
    order.roots, order.excluded = _list(roots), _list(excluded)
    return bytes(order)


def memfd(content):
    fd = os.memfd_create("order", 0)
    os.write(fd, content)
    return fd


def secret_files(files):
    """The memfd beside START (proto/warden.h): {path: value}."""
    packed = b""
    for path, value in files.items():
        packed += struct.pack("=IHH", len(value), 0o400, len(path)) + path.encode() + value
    return memfd(packed)


class Run:
    """One packer. Reports are collected as they come; wait() gives the last."""

    def __init__(self, order, root, archive_fd, secrets_fd=None):
        self.hears, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        order_fd, root_fd = memfd(order), os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        self.reports, self.status = [], None
        wanted = {3: order_fd, 4: root_fd, 5: secrets_fd, 6: archive_fd, 7: theirs.fileno()}
        self.pid = os.fork()
        if self.pid == 0:
            self._exec(wanted)
        for fd in (order_fd, root_fd, archive_fd) + (() if secrets_fd is None else (secrets_fd,)):
            os.close(fd)
        theirs.close()
        self.peak_kb = 0
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def _look(self):
        """Its peak memory: ru_maxrss would be that of who started it."""
        while True:
            try:
                status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
            except OSError:
                return
            lines = dict(line.split(":\t", 1) for line in status.splitlines())
            if "VmHWM" not in lines:
                return
            if lines["Name"] == "multiclaw-packe":
                self.peak_kb = int(lines["VmHWM"].split()[0])
            time.sleep(0.002)

    def _exec(self, wanted):
        try:
            high = {to: __import__("fcntl").fcntl(fd, 0, 100) for to, fd in wanted.items() if fd is not None}
            for to in range(3, 8):
                if to in high:
                    os.dup2(high[to], to)
                elif to == 5:
                    try:
                        os.close(to)
                    except OSError:
                        pass
            os.closerange(8, 1024)
            os.execve(BINARY, ["multiclaw-packer"], {k: v for k, v in os.environ.items() if k == "ASAN_OPTIONS"})  # (LeakSanitizer finds no /proc)
        finally:
            os._exit(127)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)

    def wait(self):
        while True:
            packet = self.hears.recv(8192)
            if not packet:
                break
            self.reports.append(Report.from_buffer_copy(packet))
        self.hears.close()
        self._watch.join()
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        done = [report for report in self.reports if report.kind == DONE]
        return done[-1] if done else None


class Collector(threading.Thread):
    """Reads a pipe to its end, into memory or a file."""

    def __init__(self, fd, to=None):
        super().__init__()
        self.fd, self.to, self.bytes = fd, to or io.BytesIO(), None
        self.start()

    def run(self):
        while piece := os.read(self.fd, 1 << 20):
            self.to.write(piece)
        os.close(self.fd)


def start_pack(root, roots=("data",), name=None, secrets=None, **how):
    reads, writes = os.pipe()
    os.set_inheritable(reads, False)
    run = Run(order_of(name or Name(), False, roots, **how), root, writes, secret_files(secrets or {"llm/openai": b"sk-0123456789abcdefghij"}))
    return run, reads


def pack(root, roots=("data",), to=None, **how):
    """(the last report, the archive)"""
    run, reads = start_pack(root, roots, **how)
    collector = Collector(reads, to)
    report = run.wait()
    collector.join()
    pack.last = run
    return report, None if to else collector.to.getvalue()


class Feeder(threading.Thread):
    def __init__(self, fd, source):
        super().__init__()
        self.fd, self.source = fd, source
        self.start()

    def run(self):
        try:
            for piece in iter(lambda: self.source.read(1 << 20), b""):
                view = memoryview(piece)
                while view:
                    view = view[os.write(self.fd, view) :]
        except BrokenPipeError:
            pass
        os.close(self.fd)


def start_unpack(root, archive, name=None, **how):
    reads, writes = os.pipe()
    os.set_inheritable(writes, False)
    run = Run(order_of(name or Name(), True, **how), root, reads)
    return run, Feeder(writes, io.BytesIO(archive) if isinstance(archive, bytes) else archive)


def unpack(root, archive, **how):
    run, feeder = start_unpack(root, archive, **how)
    report = run.wait()
    feeder.join()
    unpack.last = run
    return report


def place(path):
    """An empty tree of the agent's, in a folder that others may pass."""
    os.makedirs(path)
    os.chown(path, UID, UID)
    return path


def opened(archive, name=None):
    """The zstd stream in an archive; raises unless it opens whole."""
    name = name or Name()
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, archive[:HEADER], name.key)
    at, plain, tag, bound = HEADER, b"", None, name.bound()
    while at < len(archive):
        assert tag != sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
        piece, tag = sodium.crypto_secretstream_xchacha20poly1305_pull(state, archive[at : at + CHUNK + OVERHEAD], bound)
        plain, at, bound = plain + piece, at + CHUNK + OVERHEAD, None
    assert tag == sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
    return plain


def sealed(plain, name=None, tags=None):
    """plain as an archive's sealed stream."""
    name = name or Name()
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    made = sodium.crypto_secretstream_xchacha20poly1305_init_push(state, name.key)
    pieces = [plain[at : at + CHUNK] for at in range(0, max(len(plain), 1), CHUNK)]
    for i, piece in enumerate(pieces):
        last = i == len(pieces) - 1
        tag = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL if last else 0
        made += sodium.crypto_secretstream_xchacha20poly1305_push(state, piece, None if i else name.bound(), tag)
    return made


def zstd(data, *options):
    return subprocess.run(["zstd", "-q", "-c", *options], input=data, stdout=subprocess.PIPE, check=True).stdout


def tar_of(archive, name=None):
    return tarfile.open(fileobj=io.BytesIO(zstd(opened(archive, name), "-d")))


def archive_of(entries, name=None, format=tarfile.PAX_FORMAT):
    """An archive of [(TarInfo, content)], sealed with the right key."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for info, content in entries:
            info.size = info.size or len(content)
            tar.addfile(info, io.BytesIO(content))
    return sealed(zstd(out.getvalue()), name)


def entry(path, content=b"", kind=tarfile.REGTYPE, link="", mode=0o644):
    info = tarfile.TarInfo(path)
    info.type, info.linkname, info.mode = kind, link, mode
    return info, content


def random_bytes(n):
    return secrets.token_bytes(n)
