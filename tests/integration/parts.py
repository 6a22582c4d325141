"""A part of the suite without its edge: real Redis, development chain, chain-oracle, session and auth. The test plays router.

The wire format is Python's: pyzmq's CURVE, msgpack, and what the registry says.
"""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import msgpack
import zmq

from suite import BIN, ROOT, Wallet, b58encode, wait_until

VERSION = 1


class Refused(Exception):
    def __init__(self, envelope):
        self.status, self.reason = envelope["status"], envelope.get("reason", "")
        self.retry_after_s = envelope.get("retry_after_s", 0)
        super().__init__(f"{self.status} {self.reason} {envelope.get('text', '')}")


class Peer:
    """A client with a role's key: one DEALER to one replica."""

    def __init__(self, parts, role, service, replica=1):
        own, server = parts.key(role), parts.key(service)
        self.public = own["public"].decode()
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.curve_publickey, self.socket.curve_secretkey = own["public"], own["secret"]
        self.socket.curve_serverkey = server["public"]
        self.socket.connect(f"ipc://{parts.state}/run/{service}-{replica}.bus")
        self.last = 0

    def close(self):
        self.socket.close()

    def send(self, call, timeout=5.0, **body):
        self.last += 1
        envelope = {"version": VERSION, "call": call, "id": self.last, "deadline": int((time.time() + timeout) * 1000)}
        self.socket.send(msgpack.packb(envelope) + msgpack.packb(body))
        return self.last

    def receive(self, timeout=6.0):
        """(envelope, body or None) of whatever answers next."""
        assert self.socket.poll(timeout * 1000), "no answer"
        unpacker = msgpack.Unpacker()
        unpacker.feed(self.socket.recv())
        maps = list(unpacker)
        return maps[0], (maps[1] if len(maps) > 1 else None)

    def call(self, call, timeout=5.0, **body):
        sent = self.send(call, timeout, **body)
        while True:
            envelope, answer = self.receive(timeout + 1)
            if envelope["id"] == sent:
                break
        if envelope["status"] != "ok":
            raise Refused(envelope)
        return answer


def over_socket(parts, which, method, path, token=None, body=None, replica=1):
    """What nginx would ask a router, or who looks at it its operator's listener: the answer and its JSON."""
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(parts.state / f"run/router-{replica}.{which}"))
    headers = {"X-Real-IP": "203.0.113.7"}
    if token:
        headers["Cookie"] = f"__Host-multiclaw={token}"
    if body is not None:
        headers["Content-Type"] = "application/json"
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer, json.loads(text) if text.startswith(b"{") else text.decode()


class Parts:
    chain_options = ("--slot-ms", 50)

    def __init__(self, replicas=1, **settings):
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="mcp-"))
        self.replicas = replicas
        self.processes, self.peers = {}, []
        every = range(1, replicas + 1)
        self.env = {
            **os.environ,
            "MULTICLAW_STATE_DIR": str(self.state),
            "MULTICLAW_PUBLIC_URL": "https://claw.example:8443",
            "MULTICLAW_AUTHS": ",".join(f"ipc://run/auth-{i}.bus" for i in every),
            "MULTICLAW_SESSIONS": ",".join(f"ipc://run/session-{i}.bus" for i in every),
            "MULTICLAW_ORACLES": ",".join(f"ipc://run/chain-oracle-{i}.bus" for i in every),
            "MULTICLAW_BELLS": ",".join(f"ipc://run/{s}-{i}.bell" for s in ("session", "chain-oracle") for i in every),
            "MULTICLAW_CHALLENGES_PER_MINUTE": "1000000",
            "MULTICLAW_CHALLENGES_PER_MINUTE_PER_ADDRESS": "1000000",
            "MULTICLAW_SIGN_INS_PER_MINUTE_PER_WALLET": "1000000",
            **{name: str(value) for name, value in settings.items()},
        }

    # ---- processes

    def launch(self, name, *command, **more):
        with open(self.state / f"log/{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(c) for c in command], cwd=self.state, env={**self.env, **more}, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def launch_daemon(self, name):
        self.launch(name, BIN / f"multiclaw-{name.rsplit('-', 1)[0]}", MULTICLAW_REPLICA=name)

    def launch_redis(self):
        # each write is on disk before it is answered: a kill loses nothing unless the test says so
        self.launch("redis", "redis-server", "conf/redis.conf", "--appendfsync", "always")
        wait_until("Redis", lambda: self.redis_answers(), 10)

    def redis_answers(self):
        try:
            return self.redis.ping()
        except Exception:
            return False

    def start(self):
        for folder in ("conf", "keys", "run", "log", "redis", "chain"):
            (self.state / folder).mkdir(mode=0o700)
        subprocess.run([BIN / "multiclaw", "keys", "init", self.state / "keys"], check=True, stdout=subprocess.DEVNULL)
        with open(self.state / "keys/redis/users.acl", "a") as acl:
            acl.write("user tests on nopass ~* &* +@all\n")
        shutil.copy(ROOT / "deploy/redis/redis.conf", self.state / "conf/redis.conf")
        import redis

        self.redis = redis.Redis(unix_socket_path=str(self.state / "run/redis.sock"), username="tests", password="x")
        self.launch_redis()
        self.launch("devchain", BIN / "multiclaw-devchain", "serve", "--state", "chain", "--demo", *self.chain_options,
                    "--port", 0, "--ws-port", 0, "--port-b", 0, "--ws-port-b", 0)
        wait_until("the development chain", (self.state / "chain/ports.json").exists, 10)
        ports = json.loads((self.state / "chain/ports.json").read_text())
        demo = json.loads((self.state / "chain/demo.json").read_text())
        self.collection, self.assets, self.rpc_port = demo["collection"], demo["assets"], ports["rpc_a"]
        self.env["MULTICLAW_COLLECTION"] = self.collection
        self.env["SOLANA_RPC_URL"] = f"http://127.0.0.1:{ports['rpc_a']},http://127.0.0.1:{ports['rpc_b']}"
        self.env["SOLANA_WS_URL"] = f"ws://127.0.0.1:{ports['ws_a']},ws://127.0.0.1:{ports['ws_b']}"
        for i in range(1, self.replicas + 1):
            for service in ("chain-oracle", "session", "auth"):
                self.launch_daemon(f"{service}-{i}")
        self.wait_for_sign_in()
        return self

    def wait_for_sign_in(self, seconds=20):
        """Until every replica is ready and lets somebody in."""
        asset, wallet = self.asset_of("alice"), self.wallet("alice")
        daemons = [name for name in self.processes if name.startswith(("auth-", "session-"))]
        try:
            wait_until("ready", lambda: all(self.is_ready(name) for name in daemons), seconds)
            wait_until("a sign-in", lambda: all(self.lets_in(wallet, asset, i + 1) for i in range(self.replicas)), seconds, 0.2)
        except AssertionError as e:
            logs = "\n".join(f"--- {name}\n{self.log(name)}" for name in self.processes)
            raise AssertionError(f"{e}\n{logs}") from None

    def is_ready(self, name):
        """By the daemon's own /readyz."""
        assert self.processes[name].poll() is None, f"{name} ended"
        try:
            with socket.socket(socket.AF_UNIX) as ops:
                ops.connect(str(self.state / f"run/{name}.ops"))
                ops.sendall(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
                return ops.recv(64).split()[1] == b"200"
        except (OSError, IndexError):
            return False

    def lets_in(self, wallet, asset, replica=1, timeout=2.0):
        """The token of a sign-in that was tried through this replica, or None."""
        peer = Peer(self, "router", "auth", replica)
        try:
            return self.sign_in(wallet, asset, auth=peer, timeout=timeout)["token"]
        except (Refused, AssertionError):
            return None
        finally:
            peer.close()

    def stop(self):
        """Every daemon that still runs must end by itself, and well."""
        for peer in self.peers:
            peer.close()
        alive = [name for name in reversed(self.processes) if self.processes[name].poll() is None]
        unclean = []
        for name in sorted(alive, key=lambda name: name.startswith(("redis", "devchain"))):
            self.signal(name, signal.SIGCONT)
            self.processes[name].terminate()
            try:
                status = self.processes[name].wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.processes[name].kill()
                status = self.processes[name].wait()
            if status != 0 and name != "devchain":
                unclean.append(f"{name} ended with {status}:\n{self.log(name, 60)}")
        shutil.rmtree(self.state, ignore_errors=True)
        assert not unclean, "\n".join(unclean)

    def signal(self, name, number):
        self.processes[name].send_signal(number)

    def log(self, name, lines=20):
        return "\n".join((self.state / f"log/{name}.log").read_text(errors="replace").splitlines()[-lines:])

    # ---- keys and peers

    def key(self, name):
        text = (self.state / f"keys/curve/{name}.key").read_text()
        return {word[0]: word[1].encode() for word in (line.split() for line in text.splitlines()) if len(word) == 2}

    def peer(self, role, service, replica=1):
        self.peers.append(Peer(self, role, service, replica))
        return self.peers[-1]

    @property
    def auth(self):
        if not hasattr(self, "_auth"):
            self._auth = self.peer("router", "auth")
        return self._auth

    @property
    def session(self):
        if not hasattr(self, "_session"):
            self._session = self.peer("router", "session")
        return self._session

    @property
    def operator(self):
        if not hasattr(self, "_operator"):
            self._operator = self.peer("operator", "session")
        return self._operator

    def passed(self, *replicas):
        """Until each of them has handled the newest event there is now (rule 15)."""
        newest, entry = self.redis.xrevrange("mc:events", count=1)[0]
        event = {"event": newest.decode(), "history": entry[b"h"].decode()}
        for name in replicas:
            wait_until(f"{name} has passed", lambda: self.enforced(event)["states"].get(name) == "done", 5, 0.02)

    def enforced(self, ended, wait_ms=0):
        """Who has enforced an event, with .states and .ms by replica."""
        answer = self.session.call("session.enforced", 12.0, event=ended["event"], history=ended["history"], wait_ms=wait_ms)
        answer["states"] = {r["replica"]: r["state"] for r in answer["replicas"]}
        answer["ms"] = {r["replica"]: r.get("ms", 0) for r in answer["replicas"]}
        return answer

    # ---- the chain

    def wallet(self, name):
        return Wallet.read(self.state / f"chain/wallets/{name}.json")

    def asset_of(self, name, at=0):
        address = self.wallet(name).address
        return [a["asset"] for a in self.assets if a["owner"] == address][at]

    def devchain(self, method, **params):
        connection = http.client.HTTPConnection("127.0.0.1", self.rpc_port, timeout=30)
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": f"devchain_{method}", "params": params})
        try:
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert "error" not in answer, answer
        return answer["result"]

    def mint(self, owner, **params):
        """A new asset of the collection; returns its address."""
        address = owner if isinstance(owner, str) else owner.address
        asset = b58encode(os.urandom(32))
        self.devchain("mint", asset=asset, owner=address, collection=params.pop("collection", self.collection),
                      name=params.pop("name", "an agent"), wait="confirmed", **params)
        return asset

    def transfer(self, asset, to):
        self.devchain("transfer", asset=asset, to=to.address, wait="confirmed")

    # ---- sign-in

    def challenge(self, wallet, asset=None, ip="203.0.113.7", auth=None, timeout=5.0):
        address = wallet if isinstance(wallet, str) else wallet.address
        return (auth or self.auth).call("auth.challenge", timeout, wallet=address, ip=ip, **({"asset": asset} if asset else {}))

    def answer(self, wallet, issued, message=None, sent=None, **more):
        """The body of a verify: signs message (the text that was issued), sends along the bytes in sent."""
        signature = wallet.sign(message or issued["message"].encode())
        body = {"nonce": issued["nonce"], "wallet": wallet.address, "signature": signature, "ip": "203.0.113.7", **more}
        return {**body, "signed_message": sent} if sent is not None else body

    def verify(self, wallet, issued, auth=None, timeout=5.0, **more):
        return (auth or self.auth).call("auth.verify", timeout, **self.answer(wallet, issued, **more))

    def sign_in(self, wallet, asset=None, auth=None, timeout=5.0, **more):
        return self.verify(wallet, self.challenge(wallet, asset, auth=auth, timeout=timeout), auth, timeout, **more)

    def check(self, token, session=None):
        return (session or self.session).call("session.check", token=token)
