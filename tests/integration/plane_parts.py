"""Real agents behind the real edge: two that answer whatever they are told (tests/sandbox/hostile_agent.c) and a demo agent."""

import contextlib
import os
import pathlib
import selectors
import socket
import threading
import time

from layouts import Layout, folder, member
from suite import BIN, Suite, wait_until
from test_edge import AGENT_COOKIE, Edge, parse

HOSTILE = BIN.parent / "hostile-agent/hostile-agent"
IMAGE = "plane"


class Agent:
    """One that its owner has signed in to and entered."""

    def __init__(self, suite, name, at=0):
        self.suite, self.wallet, self.asset = suite, suite.wallet(name), suite.asset_of(name, at)
        self.sign_in()

    def sign_in(self):
        answer = self.suite.try_sign_in(self.wallet, self.asset)
        assert answer.status == 200, answer.body
        self.token, self.id = answer.token, answer.json["agent_id"]
        self.inside = self.suite.enter(self.token)
        self.host = f"{self.id}.{self.suite.authority}"

    @property
    def cookie(self):
        return f"{AGENT_COOKIE}={self.inside}"

    def state(self):
        return self.suite.http("GET", "/v1/agent", token=self.token).json["state"]

    def head(self, target, *headers, method="GET"):
        return "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {self.host}", f"Cookie: {self.cookie}", *headers, "", ""]).encode("latin-1")

    def open(self, target, *headers, method="GET", rcvbuf=0, source="127.0.0.1"):
        """A connection on which this was asked."""
        s = socket.socket()
        if rcvbuf:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        s.settimeout(30)
        s.bind((source, 0))
        s.connect(("127.0.0.1", self.suite.port))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(self.head(target, *headers, method=method))
        return s

    def upgraded(self, target="/ws", **more):
        s = self.open(target, "Upgrade: websocket", "Connection: Upgrade", f"Origin: http://{self.host}", "Sec-WebSocket-Version: 13",
                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", **more)
        status, rest = read_head(s)
        if status != 101:
            s.close()
            return status
        return s

    def ask(self, target="/", headers=(), method="GET", body=b"", cookie=None, source="127.0.0.1"):
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}", "Connection: close", f"Cookie: {self.cookie if cookie is None else cookie}"]
        lines += [f"{k}: {v}" for k, v in headers] + ([f"Content-Length: {len(body)}"] if body else [])
        with socket.socket() as s:
            s.settimeout(30)
            s.bind((source, 0))
            s.connect(("127.0.0.1", self.suite.port))
            s.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
            return parse(read_on(s))

    def is_up(self, target="/", seconds=30):
        wait_until("the agent answers", lambda: self.ask(target)[0] == 200, seconds, every=0.1)
        return self

    # ---- a hostile one

    def say(self, answer, headers=()):
        """Has it answer these bytes."""
        return self.ask(f"/raw?{answer.hex()}", headers)

    def seen(self):
        """All that has reached it since this was last asked."""
        return self.ask("/forget")[2]


class Plane(Edge):
    def __init__(self, agents=("alice", "bob"), with_demo=False, **settings):
        self.suite = Suite(containers=True, MULTICLAW_SANDBOX_IMAGE=IMAGE, MULTICLAW_SANDBOX_PIDS=4096, MULTICLAW_SANDBOX_CONNECTIONS=4096, **settings)
        try:
            self.suite.start()
            self.names = self.suite.state / "images/names"
            self.import_hostile()
            self.hostile = [Agent(self.suite, name).is_up() for name in agents]
            if with_demo:
                (self.names / IMAGE).write_text((self.names / "demo").read_text())
                self.demo = Agent(self.suite, "alice", 1).is_up()
                (self.names / IMAGE).write_text(self.digest)
        except BaseException as e:
            logs = self.suite.logs()
            self.stop()
            raise AssertionError(f"{e}\n{logs}") from e

    def import_hostile(self):
        members = [folder(name) for name in ("proc", "sys", "dev", "data", "run", "run/secrets", "etc")] + [folder("tmp", 0o1777)]
        members += [member(f"etc/{name}") for name in ("resolv.conf", "hosts", "hostname")]
        members.append(member("agent", data=HOSTILE.read_bytes(), mode=0o755))
        layout = Layout(self.suite.state / "hostile", members, Entrypoint=["/agent"], User="1000:1000", WorkingDir="/data")
        self.suite.cli("image", "import", str(layout.path), "--name", IMAGE, "--images", str(self.suite.state / "images"), umask=0o022)
        self.digest = (self.names / IMAGE).read_text()

    def stop(self):
        self.suite.stop()

    # ---- what it costs

    def workers(self):
        master = self.suite.pid("nginx")
        return [int(pid) for pid in pathlib.Path(f"/proc/{master}/task/{master}/children").read_text().split()]

    @contextlib.contextmanager
    def unbuffered(self, more_kib=4096):
        """What passes meanwhile stays neither in memory nor on disk."""
        pids = [*self.workers(), self.suite.pid("router-1"), self.suite.pid("sandbox-1")]
        for pid in pids:
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak is counted from here
        before = [(of(pid, "VmRSS"), written(pid)) for pid in pids]
        yield
        for pid, (rss, disk) in zip(pids, before):
            assert of(pid, "VmHWM") - rss < more_kib, pathlib.Path(f"/proc/{pid}/comm").read_text()
            assert written(pid) - disk < 1 << 20
        files = [path for path in (self.suite.state / "nginx/tmp").rglob("*") if path.is_file()]
        assert not files


def of(pid, name):
    """KiB"""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def written(pid):
    lines = pathlib.Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))


def read_on(s):
    data = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        while chunk := s.recv(65536):
            data += chunk
    return data


def read_head(s):
    """(status, what came behind the head)"""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = s.recv(65536)
        if not chunk:
            return 0, b""
        data += chunk
    head, _, rest = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), rest


def cut_by(sockets, end, seconds=15.0):
    """When each was cut (Unix time), while `end` is called beside."""
    selector, cut = selectors.DefaultSelector(), {}
    for s in sockets:
        s.setblocking(False)
        selector.register(s, selectors.EVENT_READ)
    thread = threading.Thread(target=end)
    thread.start()
    until = time.monotonic() + seconds
    while len(cut) < len(sockets) and time.monotonic() < until:
        for key, _ in selector.select(0.1):
            try:
                is_open = bool(key.fileobj.recv(1 << 20))
            except BlockingIOError:
                continue
            except OSError:
                is_open = False
            if not is_open:
                cut[key.fileobj] = time.time()
                selector.unregister(key.fileobj)
    thread.join(30)
    selector.close()
    assert len(cut) == len(sockets), f"{len(sockets) - len(cut)} of {len(sockets)} are still open"
    return sorted(cut.values())


def ending_event(suite, asset):
    """(Unix time, kind) of the last one of the asset that ends sessions."""
    for number, entry in suite.redis().xrevrange("mc:events", count=50):
        if entry.get("a") == asset and entry["k"] not in ("session", "agent"):
            return int(number.split("-")[0]) / 1000, entry["k"]
    return None


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def told(text):
    """Into the test's output, and for who collects it into a file."""
    print(text)
    if os.environ.get("PLANE_REPORT"):
        with open(os.environ["PLANE_REPORT"], "a") as report:
            report.write(text + "\n")
