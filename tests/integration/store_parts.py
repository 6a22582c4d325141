"""The real snapshot-store with a state folder, a client that speaks proto/store.h as the header says it, an S3-speaking server that checks
signatures (OpenStack Swift), and a proxy that makes a storage misbehave.

    with Store() as store:                          # kind "file", in store.state / "store"
        client = store.client()
        client.put(key, b"...")
        assert client.get(key) == b"..."
    with S3Server() as s3, Store(**s3.settings()) as store: ...
    Store(state=suite.state)                        # in somebody else's state folder: its socket is run/sandbox-1.store
"""

import array
import contextlib
import datetime
import hashlib
import hmac
import http.client
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
import urllib.parse
import xml.etree.ElementTree as ElementTree

from suite import BIN, free_port, wait_until

HERE = pathlib.Path(__file__).resolve().parent

VERSION, SIZE, UNION, KEY_MAX = 1, 392, 224, 200
PUT, GET, DELETE, SWEEP, CANCEL = range(1, 6)
READY, DONE, PROGRESS, FAILED = range(101, 105)
(UNAVAILABLE, NOT_FOUND, DENIED, FULL, DAMAGED, TOO_LARGE, CANCELLED, BUSY, INVALID) = range(9)
FAILURES = ("UNAVAILABLE", "NOT_FOUND", "DENIED", "FULL", "DAMAGED", "TOO_LARGE", "CANCELLED", "BUSY", "INVALID")
MIB = 1 << 20
NO_END = (1 << 64) - 1

AGENT, OTHER_AGENT = "a" * 32, "b" * 32
WALLET = "7" * 44


def key_of(name="1.archive", agent=AGENT, wallet=WALLET, period=1):
    return f"agents/{agent}/{wallet}/{period}/{name}"


def digest_of(data):
    return hashlib.blake2b(data, digest_size=32).digest()


class Failed(Exception):
    def __init__(self, failure, text):
        self.failure, self.text = failure, text
        super().__init__(f"{FAILURES[failure]}: {text}")


class Event:
    def __init__(self, packet):
        self.version, self.what, self.ticket = struct.unpack_from("=IIQ", packet)
        u = packet[UNION:]
        if self.what in (DONE, PROGRESS):
            self.bytes, self.digest = struct.unpack_from("=Q32s", u)
        elif self.what == FAILED:
            (self.failure,), self.text = struct.unpack_from("=I", u), u[4:164].split(b"\0", 1)[0].decode()
        else:
            self.text = u[:160].split(b"\0", 1)[0].decode()

    def __repr__(self):
        return f"<{' '.join(f'{k}={v!r}' for k, v in vars(self).items())}>"


class Client:
    """What sandbox is to snapshot-store."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(str(path))
        self.events, self.ticket = [], 0
        self.ready = self.next()
        assert self.ready.what == READY and self.ready.version == VERSION, self.ready

    def close(self):
        self.socket.close()

    # ---- packets

    def send(self, what, key="", body=b"", fds=(), ticket=None, version=VERSION, size=SIZE):
        if ticket is None:
            self.ticket += 1
            ticket = self.ticket
        raw = key if isinstance(key, bytes) else key.encode()
        packet = struct.pack("=IIQ", version, what, ticket) + raw[: KEY_MAX + 1].ljust(KEY_MAX + 1, b"\0")
        packet = (packet.ljust(UNION, b"\0") + body).ljust(SIZE, b"\0")[:size]
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([packet], rights)
        return ticket

    def next(self, timeout=30.0):
        self.socket.settimeout(timeout)
        packet = self.socket.recv(SIZE + 1)
        if not packet:
            raise ConnectionResetError
        assert len(packet) == SIZE, len(packet)
        return Event(packet)

    def wait(self, ticket, *whats, timeout=60.0):
        """The next event of that ticket (and of these kinds); others are kept for who waits for them."""
        whats, until = whats or (DONE, FAILED), time.monotonic() + timeout
        while True:
            for i, event in enumerate(self.events):
                if event.ticket == ticket and event.what in whats:
                    return self.events.pop(i)
            left = until - time.monotonic()
            assert left > 0, f"no {whats} of {ticket}, but {self.events}"
            with contextlib.suppress(TimeoutError):
                self.events.append(self.next(left))

    def end(self, ticket, timeout=60.0):
        event = self.wait(ticket, timeout=timeout)
        if event.what == FAILED:
            raise Failed(event.failure, event.text)
        return event

    # ---- requests

    def start_put(self, key, bytes_max=NO_END, **more):
        """(ticket, write end of the pipe)"""
        ours, theirs = (lambda p: (p[1], p[0]))(os.pipe())
        ticket = self.send(PUT, key, struct.pack("=Q", bytes_max), [theirs], **more)
        os.close(theirs)
        return ticket, ours

    def start_get(self, key, bytes_max=NO_END, **more):
        """(ticket, read end of the pipe)"""
        ours, theirs = os.pipe()
        ticket = self.send(GET, key, struct.pack("=Q", bytes_max), [theirs], **more)
        os.close(theirs)
        return ticket, ours

    def put(self, key, data, bytes_max=NO_END, timeout=60.0):
        """data: bytes, or an iterable of them. The DONE; raises Failed."""
        ticket, fd = self.start_put(key, bytes_max)
        feed(fd, [data] if isinstance(data, (bytes, bytearray)) else data)
        return self.end(ticket, timeout)

    def get_event(self, key, bytes_max=NO_END, timeout=60.0):
        """(bytes, DONE)"""
        ticket, fd = self.start_get(key, bytes_max)
        data = drain(fd)
        return data, self.end(ticket, timeout)

    def get(self, key, bytes_max=NO_END, timeout=60.0):
        data, done = self.get_event(key, bytes_max, timeout)
        assert done.bytes == len(data) and done.digest == digest_of(data)
        return data

    def delete(self, key):
        return self.end(self.send(DELETE, key))

    def sweep(self, folder):
        """How many objects it removed."""
        return self.end(self.send(SWEEP, folder)).bytes

    def cancel(self, ticket):
        self.send(CANCEL, ticket=ticket)


def feed(fd, chunks):
    """Writes all and closes; a reader that has gone is no error here, its FAILED tells."""
    try:
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(fd, view[: 1 << 16]) :]
    except BrokenPipeError:
        pass
    finally:
        os.close(fd)


def drain(fd):
    parts = []
    with os.fdopen(fd, "rb", buffering=0) as pipe:
        while chunk := pipe.read(1 << 16):
            parts.append(chunk)
    return b"".join(parts)


class Store:
    """The daemon. state: somebody else's state folder, which then stays. log level and all else by settings."""

    def __init__(self, state=None, **settings):
        self.is_own = state is None
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="mcs-") if self.is_own else state)
        for folder in ("run", "store"):
            (self.state / folder).mkdir(exist_ok=True)
        self.env = {
            **os.environ,
            "MULTICLAW_STATE_DIR": str(self.state),
            "MULTICLAW_COLLECTION": "1" * 32,
            **{name: str(value) for name, value in settings.items()},
        }
        replica = self.env.get("MULTICLAW_STORE_REPLICA", "sandbox-1")
        self.socket = self.state / self.env.get("MULTICLAW_STORE_SOCKET", f"run/{replica}.store")
        self.process, self.clients = None, []

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        if self.is_own:
            shutil.rmtree(self.state, ignore_errors=True)

    def launch(self, *options):
        with open(self.state / "snapshot-store.log", "ab") as log:
            self.process = subprocess.Popen([BIN / "multiclaw-snapshot-store", *options], env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        return self

    def start(self):
        self.launch()
        wait_until("snapshot-store", self.answers, 20)
        return self

    def answers(self):
        assert self.process.poll() is None, f"snapshot-store ended: {self.said()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            return s.connect_ex(str(self.socket)) == 0

    def said(self):
        return (self.state / "snapshot-store.log").read_text(errors="replace")

    def client(self):
        """The newest connection is the only one."""
        self.clients.append(Client(self.socket))
        return self.clients[-1]

    def hang_up(self):
        for client in self.clients:
            client.close()
        self.clients = []

    def stop(self):
        self.hang_up()
        if self.process and self.process.poll() is None:
            self.process.terminate()
            status = self.process.wait(20)
            assert status == 0, f"snapshot-store ended with {status}: {self.said()}"

    def kill9(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.hang_up()

    def objects(self):
        """Of the file store: {key: bytes}."""
        top = self.state / self.env.get("MULTICLAW_STORE_FOLDER", "store")
        return {str(p.relative_to(top)): p.read_bytes() for p in (top / "agents").rglob("*") if p.is_file()}

    def metrics(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.state / "run/snapshot-store-1.ops"))
            s.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return b"".join(iter(lambda: s.recv(1 << 16), b"")).decode()

    def resident(self):
        """Peak of resident memory in bytes."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024


# ---- S3


class S3Server:
    """OpenStack Swift with its S3 interface, in a folder and on a port of its own. Signs its own requests with code that is not multiclaw's."""

    KEY_ID, SECRET, REGION, BUCKET = "test:tester", "storage-secret", "test-region", "snapshots"

    def __init__(self, port=None):
        self.port = port or free_port()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mc3-"))
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        with open(self.folder / "log", "ab") as log:
            arguments = [self.folder / "swift", str(self.port), self.KEY_ID, self.SECRET]
            self.process = subprocess.Popen(["/usr/bin/python3", HERE / "swift_server.py", *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_until("the S3 server", self.answers, 60, 0.05)
        return self

    def answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with contextlib.suppress(OSError):
            return self.request("PUT", "/" + self.BUCKET)[0] in (200, 409)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def settings(self, endpoint=None, style="path", secret=None, **more):
        """For Store(**...). endpoint: another way to it, such as a FaultyProxy's url."""
        for name, value in (("id", self.KEY_ID), ("secret", secret or self.SECRET)):
            path = self.folder / f"{name}{'-other' if secret else ''}"
            path.write_text(value + "\n")
            path.chmod(0o600)
        host = f"127.0.0.1:{self.port}" if style == "path" else f"s3.localhost:{self.port}"
        return {
            "MULTICLAW_STORE_KIND": "s3",
            "MULTICLAW_STORE_S3_ENDPOINT": endpoint or f"http://{host}",
            "MULTICLAW_STORE_S3_REGION": self.REGION,
            "MULTICLAW_STORE_S3_BUCKET": self.BUCKET,
            "MULTICLAW_STORE_S3_STYLE": style,
            "MULTICLAW_STORE_S3_KEY_ID_FILE": self.folder / f"id{'-other' if secret else ''}",
            "MULTICLAW_STORE_S3_SECRET_KEY_FILE": self.folder / f"secret{'-other' if secret else ''}",
            **more,
        }

    def request(self, method, path, query=None, body=b""):
        """(status, body), signed as AWS describes it."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        day, hashed = now[:8], hashlib.sha256(body).hexdigest()
        text = "&".join(f"{urllib.parse.quote(k, '~')}={urllib.parse.quote(v, '~')}" for k, v in sorted((query or {}).items()))
        headers = {"host": f"127.0.0.1:{self.port}", "x-amz-content-sha256": hashed, "x-amz-date": now}
        canonical = "\n".join([method, path, text, *(f"{k}:{v}" for k, v in headers.items()), "", ";".join(headers), hashed])
        scope = f"{day}/{self.REGION}/s3/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.SECRET).encode()
        for part in (day, self.REGION, "s3", "aws4_request", to_sign):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={self.KEY_ID}/{scope}, SignedHeaders={';'.join(list(headers)[:3])}, Signature={key.hex()}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path + (f"?{text}" if text else ""), body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def listed(self, query, tag):
        status, body = self.request("GET", "/" + self.BUCKET, query)
        assert status == 200, body
        space = "{http://s3.amazonaws.com/doc/2006-03-01/}"
        return [e.text for e in ElementTree.fromstring(body).iter(f"{space}{tag}")]

    def keys(self, prefix=""):
        return self.listed({"list-type": "2", "prefix": prefix}, "Key")

    def uploads(self):
        """Keys of multipart uploads that nobody has ended."""
        return self.listed({"uploads": ""}, "Key")

    def object(self, key):
        status, body = self.request("GET", f"/{self.BUCKET}/{key}")
        return body if status == 200 else None

    def put(self, key, data):
        status, body = self.request("PUT", f"/{self.BUCKET}/{key}", body=data)
        assert status == 200, body

    def delete(self, key):
        status, body = self.request("DELETE", f"/{self.BUCKET}/{key}")
        assert status == 204, body


class S3Object:
    """To be read and meddled with like a file."""

    def __init__(self, server, key):
        self.server, self.key = server, key

    def read_bytes(self):
        return self.server.object(self.key)

    def write_bytes(self, data):
        self.server.put(self.key, bytes(data))

    def unlink(self):
        self.server.delete(self.key)


# ---- what goes wrong on the way


class Exchange:
    """One request that came to the proxy: method, target, headers (as bytes)."""

    def __init__(self, head):
        self.head = head
        self.method, self.target = head.split(b" ", 2)[0].decode(), head.split(b" ", 2)[1].decode()


def answer(status, code="", headers=""):
    """A whole answer as a storage gives it."""
    body = f"<?xml version='1.0' encoding='UTF-8'?>\n<Error><Code>{code}</Code><Message>of the test</Message></Error>" if code else ""
    return f"HTTP/1.1 {status} Of The Test\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n{headers}Connection: close\r\n\r\n{body}".encode()


class FaultyProxy:
    """In front of a storage, one request a connection. `faults` is a list of what happens to the next requests, each
    bytes (this is the answer), "reset", "hang" (until the proxy ends), ("cut", n) (n bytes of the answer, then the end), ("reset-after", n),
    or None (goes through); a function of the Exchange gives one of them. When the list is at its end, `always` holds."""

    def __init__(self, port, always=None, tls=None):
        self.upstream, self.always, self.faults, self.tls = port, always, [], tls
        self.seen, self.lock, self.is_over = [], threading.Lock(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    @property
    def url(self):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def serve(self):
        while not self.is_over.is_set():
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(client,), daemon=True).start()

    def one(self, client):
        with contextlib.suppress(OSError, ValueError), client:
            if self.tls:
                client = self.tls.wrap_socket(client, server_side=True)
            head = b""
            while b"\r\n\r\n" not in head:
                chunk = client.recv(1 << 16)
                if not chunk:
                    return
                head += chunk
            exchange = Exchange(head)
            with self.lock:
                self.seen.append(exchange)
                fault = self.faults.pop(0) if self.faults else self.always
            if callable(fault):
                fault = fault(exchange)
            self.act(client, head, fault)

    def act(self, client, head, fault):
        if fault == "hang":
            self.is_over.wait(120)
        elif fault == "reset":
            reset(client)
        elif isinstance(fault, bytes):
            # the rest of the request first: a close with unread bytes would be a reset
            self.swallow(client, head)
            client.sendall(fault)
        else:
            self.forward(client, head, fault)

    @staticmethod
    def swallow(client, head):
        headers, _, body = head.partition(b"\r\n\r\n")
        length = next((int(line.split(b":")[1]) for line in headers.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        left = length - len(body)
        while left > 0 and (chunk := client.recv(min(left, 1 << 16))):
            left -= len(chunk)

    def forward(self, client, head, fault):
        kind, count = fault if fault else (None, None)
        with socket.create_connection(("127.0.0.1", self.upstream)) as server:
            first, rest = head.split(b"\r\n", 1)
            server.sendall(first + b"\r\nConnection: close\r\n" + rest)
            up = threading.Thread(target=self.pump, args=(client, server), daemon=True)
            up.start()
            sent = 0
            while chunk := server.recv(1 << 16):
                if kind:
                    # the head is not counted
                    if sent == 0:
                        while b"\r\n\r\n" not in chunk:
                            chunk += server.recv(1 << 16)
                        count += chunk.index(b"\r\n\r\n") + 4
                    chunk = chunk[: count - sent]
                client.sendall(chunk)
                sent += len(chunk)
                if kind and sent >= count:
                    break
            if kind == "reset-after":
                reset(client)
            else:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def pump(source, to):
        with contextlib.suppress(OSError, ValueError):
            while chunk := source.recv(1 << 16):
                to.sendall(chunk)


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
