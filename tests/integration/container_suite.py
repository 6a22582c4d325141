"""The whole suite with containers, agents of many owners in it, and a look at what they leave on the host."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import time

from suite import BIN, Suite, b58encode, wait_until
from vault_suite import new_owner, token_of
from warden_parts import Left

AGENT_COOKIE = "__Host-multiclaw-agent"
SETTINGS = {
    "MULTICLAW_WARDEN_QUARANTINE_S": 0,
    "MULTICLAW_SANDBOX_MEMORY_MB": 64,
    "MULTICLAW_SANDBOX_VOLUME_MB": 16,
    "MULTICLAW_SANDBOX_TMP_MB": 4,
    "MULTICLAW_SANDBOX_GRACE_MS": 2000,
    "MULTICLAW_SANDBOX_IDLE_S": 0,
    "MULTICLAW_VAULT_PUTS_PER_MINUTE": 1000000,
    "MULTICLAW_VAULT_ERASE_EVERY_S": 1,
}


def read(path):
    try:
        return pathlib.Path(path).read_text(errors="replace")
    except OSError:
        return ""


class Owner:
    """A wallet with one agent, as its owner sees it."""

    def __init__(self, suite, wallet, asset, token):
        self.suite, self.wallet, self.asset, self.token = suite, wallet, asset, token
        self.agent = self.shown["agent_id"]
        self._cookie = None

    @property
    def shown(self):
        answer = self.suite.http("GET", "/v1/agent", token=self.token)
        assert answer.status == 200, (answer.status, answer.body)
        return answer.json

    @property
    def state(self):
        return self.shown["state"]

    def say(self, word, **kwargs):
        return self.suite.http("POST", f"/v1/agent/{word}", {}, token=self.token, timeout=40, **kwargs)

    def is_in(self, state):
        """False also while nobody answers."""
        answer = self.suite.http("GET", "/v1/agent", token=self.token, timeout=20)
        assert answer.status in (200, 503), (answer.status, answer.body)
        return answer.status == 200 and answer.json["state"] == state

    def wait(self, state, seconds=60):
        try:
            wait_until(f"{self.agent} is {state}", lambda: self.is_in(state), seconds, 0.02)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.suite.listed().get(self.agent)}\n{self.suite.log('sandbox-1')[-5000:]}") from None
        return self

    def start(self, seconds=60):
        def accepted():
            answer = self.say("start")
            assert answer.status in (202, 503), (answer.status, answer.body)
            return answer.status == 202

        wait_until("a start is taken", accepted, seconds, 0.1)
        return self.wait("running", seconds)

    def stop(self, seconds=60):
        assert self.say("stop").status == 202
        return self.wait("stopped", seconds)

    @property
    def cookie(self):
        if self._cookie is None:
            self._cookie = self.suite.enter(self.token)
        return self._cookie

    def ask(self, method="GET", path="/status", body=None, seconds=30, **kwargs):
        """To the agent; one that starts is waited for."""
        headers = {"Cookie": f"{AGENT_COOKIE}={self.cookie}", "Origin": f"http://{self.host}"}
        until = time.monotonic() + seconds
        while True:
            answer = self.suite.http(method, path, body, host=self.host, headers=headers, timeout=20, **kwargs)
            if answer.status not in (502, 503, 504) or time.monotonic() > until:
                return answer
            time.sleep(0.1)

    @property
    def host(self):
        return f"{self.agent}.{self.suite.authority}"

    def remember(self, text):
        """Written and on the disk, if it says so."""
        answer = self.ask("PUT", "/memory", text)
        assert answer.status in (200, 204), (answer.status, answer.body)

    @property
    def memory(self):
        answer = self.ask("GET", "/memory")
        assert answer.status == 200, (answer.status, answer.body)
        return answer.body.decode()

    def sign_in_again(self):
        self.token, self._cookie = token_of(self.suite, self.wallet, self.asset), None
        return self


class Stream:
    """A connection to the agent that stays open: /ws, /clock or an upload; it ends when it is over."""

    def __init__(self, owner, kind, cookie=None):
        self.kind = kind
        self.socket = socket.create_connection(("127.0.0.1", owner.suite.port), timeout=20)
        head = f"Host: {owner.host}\r\nCookie: {AGENT_COOKIE}={cookie or owner.cookie}\r\nOrigin: http://{owner.host}\r\n"
        if kind == "ws":
            head = f"GET /ws HTTP/1.1\r\n{head}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        elif kind == "sse":
            head = f"GET /clock HTTP/1.1\r\n{head}\r\n"
        else:
            head = f"PUT /sink HTTP/1.1\r\n{head}Content-Length: 1000000000\r\n\r\n"
        self.socket.sendall(head.encode())
        if kind == "upload":
            self.socket.sendall(b"x" * 4096)
            self.first = b""
        else:
            self.first = self.socket.recv(12)
            assert self.first.startswith(b"HTTP/1.1 101" if kind == "ws" else b"HTTP/1.1 200"), self.first

    def is_over(self):
        """For an upload also an answer, which cannot be its success; for events also a response's last chunk, after which the connection may stay."""
        self.socket.setblocking(False)
        try:
            if self.kind == "upload":
                with contextlib.suppress(BlockingIOError):
                    self.socket.send(b"x" * 1024)
            while chunk := self.socket.recv(65536):
                if self.kind == "upload":
                    assert not chunk.startswith(b"HTTP/1.1 2"), chunk
                    return True
                if self.kind == "sse" and chunk.endswith(b"\r\n0\r\n\r\n") or chunk == b"0\r\n\r\n":
                    return True
            return True
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self):
        self.socket.close()


class ContainerSuite(Suite):
    """A suite with containers whose settings fit many small agents."""

    def __init__(self, **settings):
        super().__init__(containers=True, **{**SETTINGS, **settings})
        self.owners = []

    def start(self):
        super().start()
        settings = dict(line.split("=", 1) for line in read(self.state / "conf/warden.conf").splitlines() if "=" in line)
        self.prefix, self.network = settings["MULTICLAW_WARDEN_PREFIX"], settings["MULTICLAW_WARDEN_NETWORK"]
        self.uid_base = int(settings["MULTICLAW_WARDEN_UID_BASE"])
        self.warden_run = pathlib.Path(settings["MULTICLAW_WARDEN_RUN"])
        return self

    def new_owner(self, **secrets):
        wallet = new_owner(self)
        owner = Owner(self, wallet, wallet.asset, wallet.token)
        self.owners.append(owner)
        for name, value in secrets.items():
            answer = self.http("PUT", f"/v1/secrets/custom/{name}", {"value": value}, token=owner.token)
            assert answer.status in (200, 201, 204), (answer.status, answer.body)
        return owner

    def buyer(self, owner, wallet):
        """Signs the wallet in to what was the owner's."""
        return Owner(self, wallet, owner.asset, token_of(self, wallet, owner.asset))

    def wait_sandbox(self, seconds=60):
        """Ready, with its warden."""
        self.said = b""

        def ready():
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as ops:
                ops.settimeout(2)
                ops.connect(str(self.state / "run/sandbox-1.ops"))
                ops.sendall(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
                self.said = b"".join(iter(lambda: ops.recv(65536), b""))
                return b" 200 " in self.said[:64]
            return False

        try:
            wait_until("sandbox is ready", ready, seconds, 0.05)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.said}\n{read(self.state / 'run.out')}\n{self.log('warden-1')[-3000:]}\n{self.log('sandbox-1')[-3000:]}") from None

    def listed(self):
        """What the operator is told: agent -> what."""
        shown = json.loads(self.cli("--json", "agent", "list").stdout)
        return {a.get("agent") or a.get("agent_id"): a for a in (shown["agents"] if isinstance(shown, dict) else shown)}

    def log(self, name):
        return read(self.state / f"log/{name}.log")

    # ---- what there is of containers

    def groups(self, below=""):
        """cgroups of agents: id -> processes."""
        found = {}
        for folder in self.cgroups():
            parent, name = os.path.split(folder)
            if len(name) == 32 and parent.endswith(f"/multiclaw-{self.prefix}{'/' + below if below else ''}"):
                found.setdefault(name, set()).update(int(p) for p in read(f"{folder}/cgroup.procs").split())
        return found

    def cgroups(self):
        """Their folders, in every hierarchy; they may vanish meanwhile."""
        found = set()
        for base in ["/sys/fs/cgroup", *(f"/sys/fs/cgroup/{name}" for name in os.listdir("/sys/fs/cgroup"))]:
            for folder, _, _ in os.walk(f"{base}/multiclaw-{self.prefix}"):
                found.add(folder)
        return found

    def living(self):
        return {agent: pids for agent, pids in self.groups().items() if pids}

    def secrets_mounts(self):
        """Of every mount namespace there is: (pid, mount point) of tmpfs that hold, or held, secrets of our agents."""
        found = []
        for pid in Left.pids():
            for line in read(f"/proc/{pid}/mountinfo").splitlines():
                if " multiclaw-secrets " not in line:
                    continue
                uid = re.search(r"uid=(\d+)", line)
                if uid and self.uid_base <= int(uid[1]) < self.uid_base + 256 * 65536:
                    found.append((int(pid), line.split()[4]))
        return found

    def gocryptfs(self):
        """agent -> processes that show its volume."""
        found, volumes = {}, str(self.state / "volumes")
        for pid in Left.pids():
            if "gocryptfs" not in read(f"/proc/{pid}/cmdline"):
                continue
            with contextlib.suppress(OSError):
                for fd in os.listdir(f"/proc/{pid}/fd"):
                    with contextlib.suppress(OSError):
                        to = os.readlink(f"/proc/{pid}/fd/{fd}")
                        if to.startswith(volumes + "/"):
                            found.setdefault(to[len(volumes) + 1 :].split("/")[0], set()).add(int(pid))
        return found

    def conntrack(self):
        first = ".".join(self.network.split(".")[:2])
        low = int(self.network.split(".")[2])
        done = subprocess.run(["conntrack", "-L"], capture_output=True, text=True)
        return {line for line in done.stdout.splitlines()
                if any(a.startswith(first + ".") and low <= int(a.split(".")[2]) < low + 16 for a in re.findall(r"(?:src|dst)=([\d.]+)", line))}

    def memory_kib(self, name):
        return int(re.search(r"VmRSS:\s+(\d+)", read(f"/proc/{self.pid(name)}/status"))[1])

    def fds(self, name):
        pid, found = self.pid(name), {}
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found[fd] = re.sub(r"\[\d+\]", "", os.readlink(f"/proc/{pid}/fd/{fd}"))
        return sorted(found.values())

    def left(self):
        """What containers are made of, as far as it is ours."""
        left = Left.__new__(Left)
        left.warden = self
        state, work = str(self.state), f"/run/multiclaw-{self.prefix}"
        mine = {line for pid in Left.pids() for line in Left.mounts(pid) if f"{work}" in line or f"{state}/volumes" in line or f"{state}/images" in line}
        run = {str(p.relative_to(self.warden_run)) for p in self.warden_run.rglob("*")}
        return {
            "processes": set(map(str, sum(map(sorted, self.groups().values()), []))),
            "mounts": mine,
            "secrets": set(map(str, self.secrets_mounts())),
            "cgroups": self.cgroups(),
            "gocryptfs": set(map(str, self.gocryptfs().items())),
            "links": {p.name for p in pathlib.Path("/sys/class/net").iterdir() if p.name.startswith(self.prefix)},
            "elements": left.elements(),
            "conntrack": self.conntrack(),
            "run": run,
            "work": {str(p) for p in pathlib.Path(work).rglob("*")},
            "temporary": {p.name for p in pathlib.Path("/tmp").iterdir() if re.match(r"(runc|gocryptfs)", p.name)},
            "state": {str(p.relative_to(self.state)) for p in self.state.rglob("*")
                      if p.parts[len(self.state.parts)] not in ("log", "redis", "vault", "vault-marks", "volumes", "nginx", "chain")},
        }


def hidden_namespaces():
    """How many network namespaces there are that no process is in: each one held by something nobody sees. Of the whole machine."""
    slab = pathlib.Path("/sys/kernel/slab/net_namespace")
    (slab / "shrink").write_text("1")
    inside = set()
    for pid in Left.pids():
        with contextlib.suppress(OSError):
            inside.add(os.readlink(f"/proc/{pid}/ns/net"))
    return int(read(slab / "objects").split()[0]) - len(inside)


def at_once(owners, act):
    """One thread for each; the first failure is raised."""
    with concurrent.futures.ThreadPoolExecutor(len(owners)) as pool:
        return list(pool.map(act, owners))
