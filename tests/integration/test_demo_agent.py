"""The demo agent, run as it is: its answers, and what it makes of clients that mean it ill."""

import base64
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import pytest

from suite import BIN

BINARY = BIN.parent / "demo-agent/demo-agent"
TOKEN = "a-token-of-this-boot-0123456789"
MIB = 1 << 20


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Agent:
    def __init__(self, token=TOKEN):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="mc-demo-"))
        (self.base / "secrets/llm").mkdir(parents=True)
        (self.base / "data").mkdir()
        (self.base / "secrets/gateway-token").write_text(token)
        self.port = free_port()
        self.process = None

    def start(self):
        self.process = subprocess.Popen([BINARY, "--secrets", self.base / "secrets", "--data", self.base / "data", "--address", "127.0.0.1",
                                         "--port", str(self.port)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert "listening" in self.process.stdout.readline()
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.base)

    def ask(self, method, path, body=None, token=TOKEN, headers=()):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {**({"Authorization": f"Bearer {token}"} if token else {}), **dict(headers)}
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        answer.body = answer.read()
        connection.close()
        return answer

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def raw(self, data):
        """Everything that comes back until the end."""
        with self.connect() as s:
            s.sendall(data)
            return read_all(s)

    def rss_kib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1])


def read_all(s):
    out = b""
    try:
        while chunk := s.recv(65536):
            out += chunk
    except ConnectionResetError:
        pass
    return out


@pytest.fixture(scope="module")
def agent():
    a = Agent().start()
    yield a
    assert a.process.poll() is None, "it died"
    a.stop()


def head(path="/status", *lines, method="GET", token=TOKEN):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", *lines, "", ""]).encode()


# ---- who may


def test_every_path_but_healthz_needs_the_token(agent):
    assert json.loads(agent.ask("GET", "/healthz", token=None).body) == {"ok": True, "status": "live"}
    for path in ["/", "/app.js", "/status", "/memory", "/clock", "/ws", "/source?bytes=1", "/nothing", "/healthz2", "//healthz"]:
        for token in [None, "", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper()]:
            assert agent.ask("GET", path, token=token).status == 401, (path, token)
    assert agent.ask("PUT", "/memory", b"x", token="wrong").status == 401
    assert agent.ask("GET", "/status", token=None, headers={"Authorization": f"Basic {TOKEN}"}).status == 401
    assert agent.ask("GET", "/status", token=None, headers={"Authorization": f"bearer {TOKEN}"}).status == 200


def test_refuses_to_start_without_a_good_token():
    for token in ["", "short", "x" * 300]:
        a = Agent(token)
        done = subprocess.run([BINARY, "--secrets", a.base / "secrets", "--port", "0"], capture_output=True, timeout=10)
        assert done.returncode == 1 and b"token" in done.stderr
        a.stop()
    assert subprocess.run([BINARY, "--frob"], capture_output=True, timeout=10).returncode == 2
    assert subprocess.run([BINARY, "--port", "99999"], capture_output=True, timeout=10).returncode == 1


# ---- what it shows


def test_the_page_asks_nobody_else_for_anything(agent):
    page = agent.ask("GET", "/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    script = agent.ask("GET", "/app.js").body
    for text in [page.body, script, agent.ask("GET", "/style.css").body]:
        assert b"http://" not in text.replace(b'"http://"', b"") and b"https://" not in text and b"//" not in re.sub(rb"//[^\n]*\n|\$\{scheme\}//", b"", text)
    assert b"innerHTML" not in script and b"insertAdjacentHTML" not in script and b"eval(" not in script
    assert "Disconnected: this agent is no longer yours, or it is restarting" in script.decode()


def test_names_providers_and_nothing_of_their_keys(agent):
    folder = agent.base / "secrets/llm"
    for name in ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", 'bad"name', "<b>", ".hidden"]:
        (folder / name).write_text("sk-very-secret")
    answer = agent.ask("GET", "/status")
    assert json.loads(answer.body)["providers"] == ["ANTHROPIC_API_KEY", "OPENAI_API_KEY"]
    assert b"sk-very" not in answer.body


def test_the_boot_is_another_at_every_start():
    a = Agent().start()
    one = json.loads(a.ask("GET", "/status").body)
    a.process.send_signal(signal.SIGTERM)
    assert a.process.wait(5) == 0
    a.start()
    two = json.loads(a.ask("GET", "/status").body)
    assert one["boot"] != two["boot"] and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", two["started_at"])
    a.stop()


def test_notes_last_and_are_replaced_whole():
    a = Agent().start()
    assert a.ask("GET", "/memory").body == b""
    text = "nötes <b>".encode()
    assert a.ask("PUT", "/memory", text).status == 204
    assert a.ask("GET", "/memory").body == text
    assert a.ask("PUT", "/memory", b"x" * 65536).status == 204
    assert a.ask("PUT", "/memory", b"y" * 65537).status == 413
    assert a.ask("PUT", "/memory", iter([b"z" * 40000, b"z" * 40000])).status == 413
    assert a.ask("PUT", "/memory", iter([b"a" * 300, b"b" * 300])).status == 204
    a.process.send_signal(signal.SIGTERM)
    assert a.process.wait(5) == 0
    a.start()
    assert a.ask("GET", "/memory").body == b"a" * 300 + b"b" * 300
    assert [p.name for p in (a.base / "data/notes").iterdir()] == ["memory.txt"]
    a.stop()


def test_notes_follow_no_link():
    a = Agent().start()
    (a.base / "victim").write_text("mine")
    (a.base / "data/notes/memory.txt").symlink_to(a.base / "victim")
    (a.base / "data/notes/memory.txt.new").symlink_to(a.base / "victim")
    assert a.ask("GET", "/memory").status == 500
    assert a.ask("PUT", "/memory", b"yours").status == 204
    assert (a.base / "victim").read_text() == "mine" and a.ask("GET", "/memory").body == b"yours"
    a.stop()


def test_the_clock_ticks(agent):
    with agent.connect() as s:
        s.sendall(head("/clock"))
        data = b""
        while data.count(b"data: ") < 3:
            data += s.recv(4096)
    assert b"text/event-stream" in data
    assert len(set(re.findall(rb"data: (\S+)\n\n", data))) >= 2


# ---- uploads and downloads


def test_a_gibibyte_each_way_with_flat_memory(agent):
    block = bytes(MIB)
    agent.ask("PUT", "/sink", iter([block]))
    before = agent.rss_kib()
    answer = agent.ask("PUT", "/sink", (block for _ in range(1024)), headers={"Content-Length": str(1024 * MIB)})
    assert json.loads(answer.body) == {"bytes": 1024 * MIB}
    answer = agent.ask("PUT", "/sink", (block for _ in range(128)))
    assert json.loads(answer.body) == {"bytes": 128 * MIB}
    connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=60)
    connection.request("GET", f"/source?bytes={1024 * MIB}", headers={"Authorization": f"Bearer {TOKEN}"})
    answer, total = connection.getresponse(), 0
    while chunk := answer.read(MIB):
        total += len(chunk)
    assert total == 1024 * MIB
    assert agent.rss_kib() - before < 1024


def test_source_takes_numbers_alone(agent):
    assert agent.ask("GET", "/source?bytes=0").body == b""
    assert agent.ask("GET", "/source?bytes=5").body == b"abcde"
    for query in ["", "?bytes=", "?bytes=-1", "?bytes=1x", "?bytes=99999999999999999999", "?n=5", "?bytes=2199023255552"]:
        assert agent.ask("GET", "/source" + query).status == 400, query


# ---- WebSocket


class WebSocket:
    def __init__(self, agent, *lines, token=TOKEN):
        self.s = agent.connect()
        key = base64.b64encode(os.urandom(16)).decode()
        self.s.sendall(head("/ws", "Upgrade: websocket", "Connection: keep-alive, Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *lines, token=token))
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.s.recv(1)
        expected = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        assert answer.startswith(b"HTTP/1.1 101") and expected in answer

    @staticmethod
    def frame(data, opcode=1, last=True, masked=True, length=None, reserved=0):
        n = len(data) if length is None else length
        size = struct.pack("!B", n) if n < 126 else struct.pack("!BH", 126, n) if n < 65536 else struct.pack("!BQ", 127, n)
        size = bytes([size[0] | (0x80 if masked else 0)]) + size[1:]
        mask = os.urandom(4) if masked else b""
        return bytes([(0x80 if last else 0) | reserved | opcode]) + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)) if masked \
            else bytes([(0x80 if last else 0) | reserved | opcode]) + size + data

    def send(self, *args, **kwargs):
        self.s.sendall(self.frame(*args, **kwargs))

    def read(self, n):
        out = b""
        while len(out) < n:
            chunk = self.s.recv(n - len(out))
            assert chunk, "closed"
            out += chunk
        return out

    def receive(self):
        first, size = self.read(2)
        assert not size & 0x80, "servers do not mask"
        if size == 126:
            size = struct.unpack("!H", self.read(2))[0]
        return first & 0x0f, self.read(size)


def test_a_chat_says_what_it_hears(agent):
    ws = WebSocket(agent)
    for text in ["hello", "", "grüße 🦀", "x" * 125, "y" * 126, "z" * 4096]:
        ws.send(text.encode())
        assert ws.receive() == (1, text.encode())
    ws.send(bytes(range(256)), opcode=2)
    assert ws.receive() == (2, bytes(range(256)))
    ws.send(b"are you there", opcode=9)
    assert ws.receive() == (10, b"are you there")
    ws.send(b"in ", last=False)
    ws.send(b"ping", opcode=9)
    ws.send(b"parts", opcode=0)
    assert [ws.receive(), ws.receive()] == [(10, b"ping"), (1, b"in parts")]
    ws.send(struct.pack("!H", 1000), opcode=8)
    assert ws.receive() == (8, struct.pack("!H", 1000))
    assert ws.s.recv(1) == b""


def test_frames_in_single_bytes_and_many_at_once(agent):
    ws = WebSocket(agent)
    for byte in WebSocket.frame(b"slowly"):
        ws.s.sendall(bytes([byte]))
    assert ws.receive() == (1, b"slowly")
    ws.s.sendall(b"".join(WebSocket.frame(str(i).encode()) for i in range(2000)))
    assert [ws.receive()[1] for _ in range(2000)] == [str(i).encode() for i in range(2000)]


@pytest.mark.parametrize("frame,status", [
    (WebSocket.frame(b"x", masked=False), 1002), (WebSocket.frame(b"x", reserved=0x40), 1002), (WebSocket.frame(b"x", opcode=3), 1002),
    (WebSocket.frame(b"x", opcode=11), 1002), (WebSocket.frame(b"x", opcode=0), 1002), (WebSocket.frame(b"x" * 126, opcode=9), 1002),
    (WebSocket.frame(b"x", opcode=9, last=False), 1002), (WebSocket.frame(b"x", last=False) + WebSocket.frame(b"y"), 1002),
    (WebSocket.frame(b"", length=4097), 1009), (WebSocket.frame(b"", length=1 << 40), 1009),
    (WebSocket.frame(b"x" * 4000, last=False) + WebSocket.frame(b"y" * 200, opcode=0), 1009),
    (WebSocket.frame(b"\xff"), 1007), (WebSocket.frame(b"\xed\xa0\x80"), 1007), (WebSocket.frame(b"\xc0\xaf"), 1007), (WebSocket.frame("ü".encode()[:1]), 1007)])
def test_frames_against_the_rules_close_with_their_status(agent, frame, status):
    ws = WebSocket(agent)
    ws.s.sendall(frame)
    assert ws.receive() == (8, struct.pack("!H", status))
    assert read_all(ws.s) == b""


def test_what_is_no_handshake_is_refused(agent):
    good = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + "A" * 22 + "=="]
    for i in range(len(good)):
        assert b" 426 " in agent.raw(head("/ws", *good[:i], *good[i + 1:])).split(b"\r\n")[0]
    assert agent.raw(head("/ws", *good[:3], "Sec-WebSocket-Key: short")).startswith(b"HTTP/1.1 400")
    assert agent.raw(head("/ws", *good, token="wrong" * 8)).startswith(b"HTTP/1.1 401")


def test_one_who_does_not_read_does_not_fill_its_memory(agent):
    before = agent.rss_kib()
    ws = WebSocket(agent)
    ws.s.settimeout(1)
    frames = WebSocket.frame(b"x" * 4096) * 64
    with pytest.raises(TimeoutError):
        for _ in range(1000):
            ws.s.sendall(frames)
    assert agent.rss_kib() - before < 1024
    assert agent.ask("GET", "/status").status == 200


def test_a_thousand_chats_at_once(agent):
    chats = [WebSocket(agent) for _ in range(1000)]
    for ws in chats:
        ws.send(b"all")
    assert all(ws.receive() == (1, b"all") for ws in chats)
    assert agent.rss_kib() < 40000
    for ws in chats:
        ws.s.close()


# ---- ill will


@pytest.mark.parametrize("lines", [
    ["Content-Length: 5", "Content-Length: 5"], ["Content-Length: 5", "Transfer-Encoding: chunked"], ["Transfer-Encoding: chunked, chunked"],
    ["Transfer-Encoding: gzip"], ["Content-Length: +5"], ["Content-Length: 5, 5"], ["Content-Length: 99999999999999999999"], ["Content-Length : 5"],
    [" folded: x"], ["X: a\r\n b"], ["X: a\nY: b"], ["X: a\rY: b"], ["X: \0"], ["X"], [": x"], ["X: \x7f"], [f"Authorization: Bearer {TOKEN}"]])
def test_heads_that_two_readers_understand_differently_are_refused(agent, lines):
    assert agent.raw(head("/sink", *lines, method="PUT")).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("line,status", [
    ("GET /status HTTP/1.0", 505), ("GET /status HTTP/2", 505), ("GET /status", 400), ("GET status HTTP/1.1", 400), ("GET http://x/status HTTP/1.1", 400),
    (" GET /status HTTP/1.1", 400), ("GET  /status HTTP/1.1", 400), ("G\x00T /status HTTP/1.1", 400), ("get /status HTTP/1.1", 405), ("POST /status HTTP/1.1", 405),
    ("GET /status/ HTTP/1.1", 404), ("GET /../status HTTP/1.1", 404), ("GET /%73tatus HTTP/1.1", 404), ("GET /status HTTP/1.1 x", 505)])
def test_request_lines(agent, line, status):
    answer = agent.raw(f"{line}\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode("latin-1"))
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:60]


def test_heads_without_end_are_refused(agent):
    assert agent.raw(b"GET / HTTP/1.1\r\nX: " + b"a" * 9000).startswith(b"HTTP/1.1 431")
    assert agent.raw(head("/sink", "Expect: everything", method="PUT")).startswith(b"HTTP/1.1 417")


@pytest.mark.parametrize("body", [b"x\r\n", b"5\nhello\n0\n\n", b"5\r\nhelloX", b"-5\r\nhello\r\n", b"ffffffffffffffffff\r\n", b"\r\n", b";x\r\n", b"5" + b";" * 300,
                                  b"0\r\n" + b"X: y\r\n" * 2000, b"0x5\r\nhello\r\n"])
def test_chunks_that_are_none_are_refused(agent, body):
    assert agent.raw(head("/sink", "Transfer-Encoding: chunked", method="PUT") + body).startswith(b"HTTP/1.1 400")


def test_chunks_with_extensions_and_trailers_are_read(agent):
    answer = agent.raw(head("/sink", "Transfer-Encoding: chunked", method="PUT") + b"5;a=b\r\nhello\r\n000A\r\n0123456789\r\n0\r\nX: y\r\n\r\n")
    assert answer.endswith(b'{"bytes":15}\n')


def test_garbage_ends_nothing(agent):
    for seed in range(200):
        data = os.urandom(seed * 7 % 3000)
        with agent.connect() as s:
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                read_all(s)
            except (ConnectionResetError, BrokenPipeError):
                pass
        ws = WebSocket(agent)
        try:
            ws.s.sendall(data)
        except (ConnectionResetError, BrokenPipeError):
            pass
        ws.s.close()
    assert agent.ask("GET", "/status").status == 200


def test_a_head_that_comes_slowly_comes_in_time_or_not_at_all(agent):
    began = time.monotonic()
    with agent.connect() as s:
        s.sendall(b"GET /status HTTP/1.1\r\n")
        ended = threading.Event()

        def drip():
            while not ended.wait(1):
                try:
                    s.sendall(b"X: y\r\n")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        s.settimeout(40)
        assert read_all(s) == b""
        ended.set()
        thread.join()
    assert 10 < time.monotonic() - began < 35


def test_silent_clients_keep_nobody_out(agent):
    silent = [agent.connect() for _ in range(500)]
    assert agent.ask("GET", "/status").status == 200
    for s in silent:
        s.close()


def test_with_no_descriptor_left_others_wait_and_are_served():
    a = Agent()
    a.process = subprocess.Popen(["prlimit", "--nofile=64:64", BINARY, "--secrets", a.base / "secrets", "--data", a.base / "data", "--address", "127.0.0.1",
                                  "--port", str(a.port)], stdout=subprocess.PIPE, text=True)
    assert "listening" in a.process.stdout.readline()
    held = [a.connect() for _ in range(100)]
    busy = sum(map(int, pathlib.Path(f"/proc/{a.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
    time.sleep(2)
    spent = sum(map(int, pathlib.Path(f"/proc/{a.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) - busy
    assert spent < 50, "it spins"
    for s in held:
        s.close()
    assert a.ask("GET", "/status").status == 200
    a.stop()


def test_ends_at_once_on_sigterm_with_streams_open():
    a = Agent().start()
    ws, clock = WebSocket(a), a.connect()
    clock.sendall(head("/clock"))
    clock.recv(100)
    a.process.send_signal(signal.SIGTERM)
    assert a.process.wait(5) == 0
    assert read_all(ws.s) == b""
    a.stop()


def test_is_static_and_small():
    assert b"interpreter" not in subprocess.run(["file", BINARY], capture_output=True).stdout if shutil.which("file") else True
    assert b"(NEEDED)" not in subprocess.run(["readelf", "-d", BINARY], capture_output=True, check=True).stdout
    assert BINARY.stat().st_size < 1.5 * MIB


def test_the_image_is_the_same_for_everybody():
    base = pathlib.Path(tempfile.mkdtemp(prefix="mc-demo-"))
    base.chmod(0o777)
    script = pathlib.Path(__file__).parents[2] / "services/sandbox/demo-agent/image"
    shutil.copy(BINARY, base / "demo-agent")
    shutil.copy(script, base / "image")
    who = {"user": 65533, "group": 65533, "extra_groups": []} if os.geteuid() == 0 else {}
    subprocess.run([base / "image", base / "demo-agent", base / "layout"], check=True, timeout=60, **who)
    assert (base / "layout/index.json").read_bytes() == (BIN.parent / "demo-agent/image/index.json").read_bytes()
    shutil.rmtree(base)
