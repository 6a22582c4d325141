"""Starts the real suite with deploy/run in a state folder of its own, and speaks to it from the outside.

Nothing here uses multiclaw's code: keys, signatures, base58, HTTP and JSON-RPC are Python's and PyNaCl's.
"""

import contextlib
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

import nacl.signing

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", "build"))
BIN = (BUILD if BUILD.is_absolute() else ROOT / BUILD) / "bin"

# AddressSanitizer keeps what was freed: memory is not measured under it
SANITIZED = "address" in str(BUILD)

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def b58encode(data):
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def b58decode(text, size=32):
    number = 0
    for char in text:
        number = number * 58 + ALPHABET.index(char)
    return number.to_bytes(size, "big")


class Wallet:
    """An Ed25519 key as the Solana command line keeps it."""

    def __init__(self, seed=None):
        self.key = nacl.signing.SigningKey(seed) if seed else nacl.signing.SigningKey.generate()
        self.address = b58encode(bytes(self.key.verify_key))

    @classmethod
    def read(cls, path):
        return cls(bytes(json.loads(pathlib.Path(path).read_text())[:32]))

    def write(self, path):
        path = pathlib.Path(path)
        path.write_text(json.dumps(list(bytes(self.key) + bytes(self.key.verify_key))))
        path.chmod(0o600)
        return path

    def sign(self, message):
        return bytes(self.key.sign(message).signature)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json.get("code")

    @property
    def token(self):
        return self.cookie("__Host-multiclaw")

    def cookie(self, name):
        """The value that is set for it, or None."""
        return next((line.split("=", 1)[1].split(";", 1)[0] for line in self.headers.get_all("Set-Cookie", []) if line.startswith(f"{name}=")), None)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(what, condition, seconds=10.0, every=0.01):
    """Polls; fails with `what` if the condition does not come true in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(every)
    raise AssertionError(f"not within {seconds} s: {what}")


def replace_text(path, text):
    """As an editor saves: no reader finds half of it."""
    other, before = path.with_name(path.name + ".new"), path.stat()
    other.write_text(text)
    os.chown(other, before.st_uid, before.st_gid)
    other.chmod(before.st_mode & 0o7777)
    other.replace(path)


class Suite:
    def __init__(self, replicas=1, slot_ms=50, containers=False, **settings):
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="mc-"))
        self.port = free_port()
        self.authority = f"localhost:{self.port}"
        self.url = f"http://{self.authority}"
        self.env = {
            **os.environ,
            "BUILD": str(BUILD),
            "MULTICLAW_STATE_DIR": str(self.state),
            "MULTICLAW_PUBLIC_URL": self.url,
            "MULTICLAW_AGENTS_DOMAIN": self.authority,
            "MULTICLAW_REPLICAS": str(replicas),
            # most tests need none, and start faster so
            "MULTICLAW_SANDBOX": "yes" if containers else "no",
            "MULTICLAW_DEVCHAIN_PORT": "0",
            "MULTICLAW_DEVCHAIN_SLOT_MS": str(slot_ms),
            # slots shorter than Solana's would look invented to rule 3's bound
            "MULTICLAW_CHAIN_SLOTS_PER_S": str(max(10, 2000 // slot_ms)),
            # one address makes every request of a test; the limits have tests of their own
            "MULTICLAW_CHALLENGES_PER_MINUTE": "1000000",
            "MULTICLAW_CHALLENGES_PER_MINUTE_PER_ADDRESS": "1000000",
            "MULTICLAW_CHALLENGES_LIVE": "1000000",
            "MULTICLAW_SIGN_INS_PER_MINUTE_PER_WALLET": "1000000",
            "MULTICLAW_ASSETS_PER_MINUTE_PER_ADDRESS": "1000000",
            "MULTICLAW_WALLET_BUILDS_PER_MINUTE": "1000000",
            "MULTICLAW_WALLET_CALLS_PER_MINUTE": "1000000",
            **{name: str(value) for name, value in settings.items()},
        }
        for name in ("SOLANA_RPC_URL", "SOLANA_WS_URL", "MULTICLAW_COLLECTION"):
            if name not in settings:
                self.env.pop(name, None)
        self.process = None
        self.sessions_at_agents = {}

    def start(self):
        self.allow_admin()
        self.out = open(self.state / "run.out", "wb")
        self.process = subprocess.Popen(
            [ROOT / "deploy/run"], env=self.env, stdout=self.out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )

        def ready():
            text = (self.state / "run.out").read_text(errors="replace")
            if self.process.poll() is not None:
                raise AssertionError(f"deploy/run ended:\n{text}\n{self.logs()}")
            return f"ready {self.url}\n" in text

        try:
            wait_until("ready", ready, 60)
        except AssertionError as e:
            text = f"{e}\n{self.logs()}"
            # nobody else would
            self.stop()
            raise AssertionError(text) from None
        demo = json.loads((self.state / "chain/demo.json").read_text()) if self.chain_ports else {}
        self.collection = demo.get("collection")
        self.assets = demo.get("assets", [])
        return self

    def allow_admin(self):
        """Redis' default user is off; tests look and meddle as one of their own."""
        subprocess.run([BIN / "multiclaw", "keys", "init", self.state / "keys"], check=True, stdout=subprocess.DEVNULL)
        with open(self.state / "keys/redis/users.acl", "a") as acl:
            acl.write("user tests on nopass ~* &* +@all\n")

    def redis(self):
        import redis

        return redis.Redis(unix_socket_path=str(self.state / "run/redis.sock"), username="tests", password="x",
                           decode_responses=True)

    def stop(self, keep=False):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=30)
        if self.process:
            self.out.close()
        if not keep:
            shutil.rmtree(self.state, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def logs(self, lines=15):
        text = ""
        for path in sorted((self.state / "log").glob("*.log")):
            text += f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) + "\n"
        return text

    # ---- processes

    def user_of(self, service):
        """Settings of a daemon that a test starts itself: as root the keys belong to the daemons' users."""
        return {"MULTICLAW_USER": f"multiclaw-{service}"} if os.geteuid() == 0 else {}

    def env_of(self, service, **more):
        """For a daemon beside those of deploy/run."""
        return {**self.env, **self.user_of(service), **more}

    def pid(self, name):
        return int((self.state / f"run/{name}.pid").read_text())

    def kill(self, name, sig=signal.SIGKILL):
        pid = self.pid(name)
        os.kill(pid, sig)
        return pid

    def cli(self, *args, session="session.json", check=True, **kwargs):
        """Runs the command line; returns the finished process with text output."""
        command = [BIN / "multiclaw", "--url", self.url, "--session", self.state / session, "-c",
                   self.state / "conf/suite.conf", *args]
        done = subprocess.run(command, capture_output=True, text=True, env=self.env, timeout=60, **kwargs)
        if check and done.returncode != 0:
            raise AssertionError(f"{args}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def ops(self, name, path):
        """What a daemon says on its own listener, head and body; "" if it does not listen."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as ops:
            ops.settimeout(5)
            ops.connect(str(self.state / f"run/{name}.ops"))
            ops.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            return b"".join(iter(lambda: ops.recv(65536), b"")).decode()
        return ""

    def status(self):
        return json.loads(self.cli("--json", "status", check=False).stdout)

    def wait_ready(self, seconds=20):
        self.cli("status", "--wait", str(seconds))

    # ---- HTTP

    def http(self, method, path, body=None, token=None, headers=None, host=None, timeout=10):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        send = {"Host": host or self.authority}
        if body is not None:
            send["Content-Type"] = "application/json"
            body = body if isinstance(body, (bytes, str)) else json.dumps(body)
        if token:
            send["Cookie"] = f"__Host-multiclaw={token}"
        send.update(headers or {})
        try:
            connection.request(method, path, body=body, headers=send)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def challenge(self, wallet, asset=None, **kwargs):
        address = wallet if isinstance(wallet, str) else wallet.address
        body = {"wallet": address, **({"asset": asset} if asset else {})}
        return self.http("POST", "/v1/auth/challenge", body, **kwargs)

    def verify(self, wallet, issued, message=None, signed_message=None, **kwargs):
        signature = wallet.sign(signed_message or (message or issued["message"]).encode())
        body = {"nonce": issued["nonce"], "wallet": wallet.address, "signature": b58encode(signature)}
        if signed_message:
            import base64

            body["signed_message"] = base64.b64encode(signed_message).decode()
        return self.http("POST", "/v1/auth/verify", body, **kwargs)

    def try_sign_in(self, wallet, asset=None, token=None):
        issued = self.challenge(wallet, asset)
        return self.verify(wallet, issued.json, token=token) if issued.status == 200 else issued

    def sign_in(self, wallet, asset=None, token=None):
        """A whole sign-in; returns the token."""
        answer = self.try_sign_in(wallet, asset, token)
        assert answer.status == 200, answer.body
        return answer.token

    def session_status(self, token):
        return self.http("GET", "/v1/session", token=token).status

    def agent(self, token, agent_id, path="/", headers=None, **kwargs):
        """A request to the agent with a session of its origin (enter); token None: with none."""
        cookie = {"Cookie": f"__Host-multiclaw-agent={token}"} if token else {}
        return self.http("GET", path, headers={**cookie, **(headers or {})}, host=f"{agent_id}.{self.authority}", **kwargs)

    def opening(self, token):
        """(host of the agent, opening) of the address that the console is given."""
        answer = self.http("POST", "/v1/agent/open", {}, token=token)
        assert answer.status == 200, answer.body
        url, _, opening = answer.json["url"].partition("#")
        assert url.startswith("http://") and url.endswith("/.multiclaw/enter"), url
        return url.removeprefix("http://").split("/")[0], opening

    def entry(self, host, step, body, state=None, headers=None, method="POST"):
        """What the entry page's script asks, as a browser would send it."""
        cookie = {"Cookie": f"__Host-multiclaw-state={state}"} if state else {}
        send = {"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin", **cookie, **(headers or {})}
        return self.http(method, f"/.multiclaw/{step}", body, host=host, headers={k: v for k, v in send.items() if v is not None})

    def try_enter(self, token):
        """From the console's session to one of the agent's origin, with the cookies kept by hand; the last answer."""
        host, opening = self.opening(token)
        page = self.http("GET", "/.multiclaw/enter", host=host)
        state = page.cookie("__Host-multiclaw-state")
        assert page.status == 200 and state, page.body
        ticket = self.entry(host, "ticket", {"opening": opening}, state)
        return self.entry(host, "session", {"ticket": ticket.json["ticket"]}, state) if ticket.status == 200 else ticket

    def enter(self, token):
        """The same; returns the token of the agent's origin."""
        answer = self.try_enter(token)
        assert answer.status == 200, answer.body
        return answer.cookie("__Host-multiclaw-agent")

    def entered(self, token):
        """The session of the agent's origin that belongs to this one of the console: entered once, remembered when both are over."""
        if token not in self.sessions_at_agents:
            self.sessions_at_agents[token] = self.enter(token)
        return self.sessions_at_agents[token]

    # ---- the development chain

    @property
    def chain_ports(self):
        path = self.state / "chain/ports.json"
        return json.loads(path.read_text()) if path.exists() else None

    def wallet(self, name):
        return Wallet.read(self.state / f"chain/wallets/{name}.json")

    def asset_of(self, name, at=0):
        address = self.wallet(name).address
        return [a["asset"] for a in self.assets if a["owner"] == address][at]

    def rpc(self, method, params=(), node="a"):
        connection = http.client.HTTPConnection("127.0.0.1", self.chain_ports[f"rpc_{node}"], timeout=30)
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params) if not isinstance(params, dict) else params})
        try:
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert "error" not in answer, answer
        return answer["result"]

    def devchain(self, *args):
        """A control command of the development chain, by its own command line."""
        done = subprocess.run([BIN / "multiclaw-devchain", args[0], "--url", f"http://127.0.0.1:{self.chain_ports['rpc_a']}", *args[1:]],
                              capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout.strip().startswith(("{", "[")) else done.stdout.strip()

    def transfer(self, asset, to):
        address = to if isinstance(to, str) else to.address
        return self.devchain("transfer", "--asset", asset, "--to", address)
