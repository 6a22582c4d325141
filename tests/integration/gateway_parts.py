"""llm-gateway between real ends: the vault and what is behind it, and providers that speak TLS and write down what they were sent. "Containers" are clients
that are bound to addresses of this machine; the test plays sandbox."""

import contextlib
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import secrets
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time

from suite import BIN, b58decode, free_port, wait_until
from vault_parts import Vaults, boot_id

CHUNK = b"x" * 65536


def agent_id(asset):
    """Architecture: lower-case base32 of BLAKE2b-160 over a label and the asset."""
    import base64

    digest = hashlib.blake2b(b"multiclaw sandbox id v1" + b58decode(asset), digest_size=20).digest()
    return base64.b32encode(digest).decode().lower()


class Provider(http.server.ThreadingHTTPServer):
    """A provider. What it does is in the path behind /v1/; every request is in .seen."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, behaviour=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mc-tls-"))
        self.ca = self.folder / "cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-keyout", self.folder / "key.pem", "-out", self.ca, "-subj", "/CN=provider", "-addext", "subjectAltName=IP:127.0.0.1"],
                       check=True, capture_output=True)
        super().__init__(("127.0.0.1", 0), behaviour or Behaviour)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.ca, self.folder / "key.pem")
        self.seen, self.refuses, self.broken = [], set(), threading.Event()
        self.released, self.sent = threading.Event(), 0
        self.script, self.waits = ("application/json", [b"{}"]), False
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.server_address[1]}"

    def get_request(self):
        client, address = super().get_request()
        return self.context.wrap_socket(client, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request, client_address):
        self.broken.set()


def key_in(headers):
    return headers.get("x-api-key") or headers.get("x-goog-api-key") or (headers.get("authorization") or "").removeprefix("Bearer ")


class Behaviour(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def body(self):
        if self.headers.get("transfer-encoding") == "chunked":
            length, digest = 0, hashlib.sha256()
            while size := int(self.rfile.readline(), 16):
                left = size
                while left:
                    data = self.rfile.read(min(left, 1 << 20))
                    left -= len(data)
                    digest.update(data)
                length += size
                self.rfile.readline()
            self.rfile.readline()
            return length, digest.hexdigest(), b""
        left, digest, data = int(self.headers.get("content-length", 0)), hashlib.sha256(), b""
        length = left
        while left:
            piece = self.rfile.read(min(left, 1 << 20))
            if not piece:
                raise ConnectionError
            digest.update(piece)
            data = (data + piece)[: 1 << 20]
            left -= len(piece)
        return length, digest.hexdigest(), data

    def answer(self, status=200, data=b"{}", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", len(data))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def stream(self, kind="text/event-stream"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def end(self):
        self.wfile.write(b"0\r\n\r\n")

    def handle_request(self):
        provider, path = self.server, self.path.split("?")[0]
        behaviour = path.split("/v1/", 1)[-1].split("/")
        if behaviour[0] == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        length, digest, data = self.body()
        provider.seen.append({"method": self.command, "path": self.path, "headers": self.headers, "length": length, "sha256": digest, "body": data})
        if key_in(self.headers) in provider.refuses:
            self.answer(401, json.dumps({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}).encode())
            return
        getattr(self, "do_" + behaviour[0], self.do_plain)(*behaviour[1:])

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_request

    # ---- behaviours

    def do_plain(self, *rest):
        self.answer(data=json.dumps({"ok": True}).encode(), Content_Type="application/json", X_Request_Id="req_1", Set_Cookie="a=b", Connection="x-hop", X_Hop="1")

    def do_messages(self, *rest):
        """Anthropic's stream: the first event, then the rest when the test says so."""
        self.stream()
        self.chunk(b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":3}}}\n\n')
        self.server.released.wait(60)
        for word in ("Hel", "lo"):
            self.chunk(b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"%s"}}\n\n' % word.encode())
        self.chunk(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
        self.end()

    def do_chat(self, *rest):
        """OpenAI's."""
        self.stream()
        for word in ("Hel", "lo"):
            self.chunk(b'data: {"object":"chat.completion.chunk","choices":[{"delta":{"content":"%s"}}]}\n\n' % word.encode())
        self.chunk(b"data: [DONE]\n\n")
        self.end()

    def do_endless(self, *rest):
        self.stream()
        try:
            while True:
                self.chunk(b'data: {"tick":%.3f}\n\n' % time.time())
                time.sleep(0.005)
        except OSError:
            self.server.broken.set()

    def do_flood(self, mib, *rest):
        """So many MiB, as fast as they are taken."""
        self.server.sent = 0
        self.send_response(200)
        self.send_header("Content-Length", int(mib) << 20)
        self.end_headers()
        try:
            for _ in range(int(mib) * 16):
                self.wfile.write(CHUNK)
                self.server.sent += len(CHUNK)
        except OSError:
            self.server.broken.set()

    def do_echo(self, how="body", *rest):
        key = key_in(self.headers)
        if how == "body":
            self.answer(data=f'{{"you sent":"{key}","again":"{key}{key}"}}'.encode())
        elif how == "header":
            self.answer(X_Echo=f"key {key}!", data=b"{}")
        else:
            self.stream("text/plain")
            for char in f"<{key}>":
                self.chunk(char.encode())
                time.sleep(0.002)
            self.end()

    def do_redirect(self, *rest):
        self.answer(302, b"", Location=f"{self.server.url}/v1/plain")

    def do_silent(self, *rest):
        self.server.released.wait(30)

    def do_stall(self, *rest):
        self.stream()
        self.chunk(b"data: 1\n\n")
        self.server.released.wait(30)

    def do_break(self, *rest):
        self.send_response(200)
        self.send_header("Content-Length", 1000)
        self.end_headers()
        self.wfile.write(b"half")
        self.close_connection = True

    def do_gzip(self, *rest):
        self.answer(data=b"\x1f\x8b", Content_Encoding="gzip")

    def do_head_bomb(self, *rest):
        self.send_response(200)
        for i in range(90):
            self.send_header(f"X-{i}", "y" * 1000)
        self.end_headers()

    def do_scripted(self, *rest):
        """What the test has laid out in .script: (type, pieces). Before the last piece it waits for the test, if that says so."""
        kind, pieces = self.server.script
        self.stream(kind)
        for i, piece in enumerate(pieces):
            if i == len(pieces) - 1 and self.server.waits:
                self.server.released.wait(30)
            self.chunk(piece)
        self.end()

    def do_status(self, status, *rest):
        self.answer(int(status), b"" if status in ("204", "304") else b'{"error":{"message":"no"}}', Retry_After="7")


class Container:
    """A client at an address of its own."""

    def __init__(self, gateways, address, token, port=None):
        self.address, self.token, self.port = address, token, port or gateways.port

    def connect(self, timeout=15):
        return socket.create_connection(("127.0.0.1", self.port), timeout, (self.address, 0))

    def connection(self, timeout=15):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout, source_address=(self.address, 0))

    def begin(self, method, path, body=None, headers=None, auth="authorization", timeout=15, **more):
        """(connection, response), not read yet."""
        given = {"authorization": {"Authorization": f"Bearer {self.token}"}, "x-api-key": {"x-api-key": self.token},
                 "x-goog-api-key": {"x-goog-api-key": self.token}, None: {}}[auth]
        connection = self.connection(timeout)
        connection.request(method, path, body, {**given, **(headers or {})}, **more)
        return connection, connection.getresponse()

    def ask(self, method, path, body=None, **more):
        """(status, headers, body)"""
        connection, response = self.begin(method, path, body, **more)
        try:
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def raw(self, data, timeout=5):
        """What is answered to these bytes, until the end."""
        with self.connect(timeout) as s:
            s.sendall(data)
            answer = b""
            with contextlib.suppress(TimeoutError, ConnectionError):
                while piece := s.recv(65536):
                    answer += piece
                    if b"\r\n\r\n" in answer and b"100 Continue" not in answer:
                        break
            return answer


class Gateways(Vaults):
    def __init__(self, behaviour=None, **settings):
        self.provider = Provider(behaviour)
        self.port = free_port()
        self.of_gateway = {"MULTICLAW_REPLICA": "llm-gateway-1", "MULTICLAW_GATEWAY_LISTEN": f"0.0.0.0:{self.port}",
                           "MULTICLAW_GATEWAY_CA_FILE": str(self.provider.ca),
                           **{k: str(v) for k, v in settings.items() if k.startswith("MULTICLAW_GATEWAY_")}}
        self.next_address = 2
        super().__init__(**{k: v for k, v in settings.items() if not k.startswith("MULTICLAW_GATEWAY_")})

    def prepare(self):
        bearer = {"header": "authorization", "prefix": "Bearer "}
        url = self.provider.url
        closed = free_port()
        providers = [
            {"name": "openai", "env": ["OPENAI_API_KEY"], "base_url": url, "auth": bearer, "paths": ["/v1/"], "shape": "openai"},
            {"name": "anthropic", "env": ["ANTHROPIC_API_KEY"], "base_url": url, "auth": {"header": "x-api-key"}, "paths": ["/v1/messages", "/v1/models", "/v1/echo"],
             "shape": "anthropic"},
            {"name": "gemini", "env": ["GEMINI_API_KEY"], "base_url": f"{url}/sub", "auth": {"header": "x-goog-api-key", "query": "key"},
             "paths": ["/v1/models"], "shape": "gemini"},
            {"name": "query", "env": ["QUERY_API_KEY"], "base_url": url, "auth": {"query": "api_key"}, "paths": ["/v1/plain"], "shape": "openai"},
            {"name": "down", "env": ["DOWN_API_KEY"], "base_url": f"https://127.0.0.1:{closed}", "auth": bearer, "paths": ["/v1/"], "shape": "openai"},
            {"name": "stranger", "env": ["STRANGER_API_KEY"], "base_url": f"https://localhost:{self.provider.server_address[1]}", "auth": bearer,
             "paths": ["/v1/"], "shape": "openai"},
            {"name": "groq", "env": ["GROQ_API_KEY"]},
        ]
        path = self.state / "providers.json"
        path.write_text(json.dumps({"providers": providers}))
        self.env["MULTICLAW_VAULT_PROVIDERS"] = self.env["MULTICLAW_GATEWAY_PROVIDERS"] = str(path)

    def start(self):
        super().start()
        self.launch_gateway()
        return self

    def launch_gateway(self, **more):
        self.launch("llm-gateway-1", BIN / "multiclaw-llm-gateway", **{**self.of_gateway, **{k: str(v) for k, v in more.items()}})
        wait_until("the gateway is ready", lambda: self.is_ready("llm-gateway-1"), 15)

    def launch_second(self):
        """Another replica, as of another host; its port. (It has the same key, so that the same grants are its.)"""
        port = free_port()
        self.launch("llm-gateway-2", BIN / "multiclaw-llm-gateway",
                    **{**self.of_gateway, "MULTICLAW_REPLICA": "llm-gateway-2", "MULTICLAW_GATEWAY_LISTEN": f"0.0.0.0:{port}"})
        wait_until("the second gateway is ready", lambda: self.is_ready("llm-gateway-2"), 15)
        return port

    def restart_gateway(self, **more):
        self.processes["llm-gateway-1"].terminate()
        assert self.processes["llm-gateway-1"].wait(10) == 0, self.log("llm-gateway-1", 40)
        # (the peer that plays sandbox connects again by itself)
        self.launch_gateway(**more)

    def stop(self):
        self.provider.released.set()
        try:
            super().stop()
        finally:
            self.provider.shutdown()
            self.provider.server_close()

    def tell(self, call, role="sandbox", timeout=5.0, **body):
        return self.peer_of(role, "llm-gateway").call(f"gateway.{call}", timeout, **body)

    def gateway_grant(self, token):
        grant, boot = self.grant(token)
        page = self.ask("materialise", role="sandbox", grant=grant, boot_id=boot, page=0, gateway_key=self.key("llm-gateway")["public"].decode())
        return page["gateway_grant"], boot, page["slot"]

    def admission(self, owner, address=None, token=None):
        grant, boot, slot = self.gateway_grant(token or owner.token)
        if not address:
            self.next_address += 1
            address = f"127.0.{self.next_address // 250}.{self.next_address % 250 + 2}"
        return {"agent": agent_id(owner.asset), "asset": owner.asset, "wallet": owner.address, "slot": slot, "boot_id": boot,
                "address": address, "token": secrets.token_hex(32), "grant": grant}

    def container(self, owner, address=None):
        body = self.admission(owner, address)
        assert self.tell("admit", **body) == {"port": self.port}
        made = Container(self, body["address"], body["token"])
        made.admission = body
        return made

    def metrics(self):
        """name{labels} -> value"""
        class Connection(http.client.HTTPConnection):
            def connect(connection):
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.connect(str(self.state / "run/llm-gateway-1.ops"))

        connection = Connection("localhost", timeout=5)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line and line[0] != "#"}

    def rss(self):
        status = pathlib.Path(f"/proc/{self.processes['llm-gateway-1'].pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def gateway_log(self):
        return (self.state / "log/llm-gateway-1.log").read_text(errors="replace")
