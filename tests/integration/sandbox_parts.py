"""sandbox with everything but containers, real: Redis, development chain, chain-oracle, session, auth, secret-vault. Warden is the test's own."""

import base64
import fcntl
import hashlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess

from fake_warden import FakeWarden
from parts import Peer, Refused
from store_parts import S3Object
from suite import BIN, BUILD, ROOT, Wallet, b58decode, wait_until
from vault_parts import Vaults

DIGEST = hashlib.sha256(b"an image").hexdigest()


def agent_id(asset):
    digest = hashlib.blake2b(b"multiclaw sandbox id v1" + b58decode(asset), digest_size=20).digest()
    return base64.b32encode(digest).decode().lower()


class Sandboxes(Vaults):
    warden_options = {}

    def __init__(self, sandboxes=1, **settings):
        self.sandboxes, self.wardens = sandboxes, {}
        super().__init__(**{
            "MULTICLAW_SANDBOXES": ",".join(f"sandbox-{i}=ipc://run/sandbox-{i}.bus" for i in range(1, sandboxes + 1)),
            "MULTICLAW_AGENTS_DOMAIN": "agents.example:8443",
            "MULTICLAW_SANDBOX_IDLE_S": 0,
            **settings,
        })

    def start(self):
        super().start()
        (self.state / "images/names").mkdir(parents=True)
        self.import_image("demo", DIGEST)
        for i in range(1, self.sandboxes + 1):
            self.launch_warden(i)
            self.launch_sandbox(i)
        for i in range(1, self.sandboxes + 1):
            self.wait_sandbox(i)
        return self

    def stop(self):
        for i in range(1, self.sandboxes + 1):
            if f"sandbox-{i}" in self.processes and self.processes[f"sandbox-{i}"].poll() is None:
                self.stop_sandbox(i)
        self.stop_wardens()
        super().stop()

    def launch_warden(self, i=1):
        self.wardens[i] = FakeWarden(self.state / f"run/sandbox-{i}.warden", **self.warden_options).start()

    def stop_wardens(self):
        for warden in self.wardens.values():
            if warden.listener:
                warden.stop(forget=True)

    @property
    def warden(self):
        return self.wardens[1]

    def import_image(self, name, digest, kind=""):
        (self.state / f"images/{digest}").mkdir(exist_ok=True)
        (self.state / f"images/{digest}/image.json").write_text(json.dumps({"digest": digest, "name": name, "kind": kind}))
        (self.state / f"images/names/{name}").write_text(digest + "\n")

    def launch_sandbox(self, i=1, **more):
        name = f"sandbox-{i}"
        self.launch(name, BIN / "multiclaw-sandbox", MULTICLAW_REPLICA=name, MULTICLAW_SANDBOX_STATE=f"held-{i}",
                    **{k: str(v) for k, v in more.items()})
        return self.processes[name]

    def wait_sandbox(self, i=1, seconds=20):
        try:
            wait_until(f"sandbox-{i} is ready", lambda: self.is_ready(f"sandbox-{i}"), seconds)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log(f'sandbox-{i}', 40)}") from None

    def stop_sandbox(self, i=1, sig=signal.SIGTERM):
        process = self.processes[f"sandbox-{i}"]
        process.send_signal(sig)
        status = process.wait(timeout=20)
        assert sig == signal.SIGKILL or status == 0, self.log(f"sandbox-{i}", 60)

    def restart_sandbox(self, i=1, sig=signal.SIGKILL, **more):
        self.stop_sandbox(i, sig)
        self.launch_sandbox(i, **more)
        self.wait_sandbox(i)

    # ---- calls

    def ask(self, call, timeout=5.0, replica=1, role="router", **body):
        if call in ("state", "start", "stop", "restart", "reach", "logs", "agents", "halt", "wake", "exec", "snapshots", "snapshot", "restore",
                    "discard", "hand_over", "accept", "move"):
            return self.peer_of(role, "sandbox", replica).call(f"sandbox.{call}", timeout, **body)
        return super().ask(call, timeout, replica, role, **body)

    def vault_ask(self, call, **body):
        return self.peer_of("router").call(f"vault.{call}", 5.0, **body)

    def operator_ask(self, call, **body):
        if call in ("wake", "exec"):
            return self.ask(call, role=self.exec_key(), **body)
        return self.ask(call, role="operator", **body)

    def exec_key(self):
        """An operator's key with the role that is off by default, known to sandbox."""
        if not hasattr(self, "_exec_key"):
            self._exec_key = "executor"
            self.new_key("executor", "operator-read+operator-exec")

            def is_known():
                peer = Peer(self, "executor", "sandbox")
                try:
                    return peer.call("sandbox.agents", 0.5) is not None
                except (Refused, AssertionError):
                    return False
                finally:
                    peer.close()

            wait_until("the key is known", is_known, 10, 0.1)
        return self._exec_key

    def state_of(self, token, **more):
        return self.ask("state", token=token, **more)["state"]

    def reach(self, token, wait_ms=5000, **more):
        return self.ask("reach", timeout=wait_ms / 1000 + 5, token=token, wait_ms=wait_ms, **more)

    def wait_state(self, token, state, seconds=10, **more):
        def reached():
            try:
                return self.state_of(token, **more) == state
            except Refused as e:
                assert e.status == "unavailable", e
                return False

        try:
            wait_until(state, reached, seconds, 0.02)
        except AssertionError as e:
            raise AssertionError(f"{e}: {self.ask('state', token=token, **more)}\n{self.log('sandbox-1', 40)}") from None

    def run(self, owner):
        """A running agent of the owner's: its warden's side."""
        self.ask("start", token=owner.token)
        self.wait_state(owner.token, "running")
        owner.agent = agent_id(owner.asset)
        return self.warden.running(owner.agent)

    def record(self, owner, i=1):
        return json.loads((self.state / f"held-{i}" / agent_id(owner.asset)).read_text())

    def metric(self, name, i=1):
        with socket.socket(socket.AF_UNIX) as ops:
            ops.connect(str(self.state / f"run/sandbox-{i}.ops"))
            ops.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
            text = b"".join(iter(lambda: ops.recv(65536), b"")).decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name)


class Hosts(Sandboxes):
    """The same with real containers: on each host a warden, with its packer, and a snapshot-store; all stores keep in one folder, or in one bucket of
    an S3Server. Needs root."""

    demo = (BUILD if BUILD.is_absolute() else ROOT / BUILD) / "demo-agent/image"

    def __init__(self, sandboxes=1, s3=None, **settings):
        self.claim()
        self.s3 = s3
        super().__init__(sandboxes, **{
            **(s3.settings() if s3 else {}),
            "MULTICLAW_SANDBOX_MEMORY_MB": 64,
            "MULTICLAW_SANDBOX_VOLUME_MB": 24,
            "MULTICLAW_SANDBOX_TMP_MB": 4,
            "MULTICLAW_SANDBOX_GRACE_MS": 2000,
            "MULTICLAW_SANDBOX_READY_MS": 60000,
            "MULTICLAW_SANDBOX_SNAPSHOT_INTERVAL_S": 0,
            "MULTICLAW_WARDEN_QUARANTINE_S": 0,
            "MULTICLAW_WARDEN_STOP_ON_EXIT": "yes",
            "MULTICLAW_WARDEN_SLOTS": 16,
            **settings,
        })

    def claim(self):
        """Names, networks and user ids of this machine that no other run of such tests has; given back when this process ends."""
        os.makedirs("/run/multiclaw", exist_ok=True)
        for self.number in range(16):
            self.claimed = os.open(f"/run/multiclaw/hosts-{self.number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self.claimed, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                os.close(self.claimed)
        else:
            raise AssertionError("16 runs at one time")
        self.prefix = f"h{self.number:x}"

    def start(self):
        self.state.chmod(0o711)
        return super().start()

    def import_image(self, name, digest, kind=""):
        done = subprocess.run([BIN / "multiclaw", "image", "import", self.demo, "--name", name, "--images", self.state / "images"],
                              capture_output=True, text=True, env={**os.environ, "MULTICLAW_STATE_DIR": str(self.state)}, umask=0o022)
        assert done.returncode == 0, done.stdout + done.stderr

    def launch_warden(self, i=1):
        if i == 1:
            for folder in ("images", "images/names"):
                (self.state / folder).chmod(0o755)
        self.launch(f"warden-{i}", BIN / "multiclaw-warden", MULTICLAW_WARDEN_REPLICA=f"sandbox-{i}",
                    MULTICLAW_WARDEN_PREFIX=f"{self.prefix}{i}", MULTICLAW_WARDEN_NETWORK=f"10.223.{16 * self.number + 2 * i}.0/23",
                    MULTICLAW_WARDEN_UID_BASE=str(2147483648 + (4 * self.number + i) * 16 * 65536), MULTICLAW_WARDEN_VOLUMES=f"volumes-{i}")
        self.launch_store(i)

    def launch_store(self, i=1):
        self.launch(f"snapshot-store-{i}", BIN / "multiclaw-snapshot-store", MULTICLAW_REPLICA=f"snapshot-store-{i}", MULTICLAW_STORE_REPLICA=f"sandbox-{i}")

    def kill_store(self, i=1):
        self.processes[f"snapshot-store-{i}"].kill()
        self.processes[f"snapshot-store-{i}"].wait()

    def stop_wardens(self):
        for i in range(1, self.sandboxes + 1):
            warden = self.processes.get(f"warden-{i}")
            if warden and warden.poll() is None:
                warden.terminate()
                warden.wait(timeout=30)

    def stop(self):
        super().stop()
        for i in range(1, self.sandboxes + 1):
            subprocess.run(["nft", "delete", "table", "inet", f"{self.prefix}{i}_agents"], capture_output=True)
        os.close(self.claimed)

    # ---- an agent

    def up(self, owner, replica=1, seconds=60):
        def started():
            try:
                return self.ask("start", token=owner.token, replica=replica)
            except Refused as e:
                assert e.status in ("unavailable", "busy"), e
                return None

        wait_until("a start is taken", started, seconds, 0.1)
        self.wait_state(owner.token, "running", seconds, replica=replica)
        return self

    def down(self, owner, replica=1, seconds=60):
        """Stopped, and nothing of it is under way any more: its agent's state is stopped before its volume is saved."""
        self.ask("stop", token=owner.token, replica=replica)
        self.wait_quiet(owner, replica, seconds)

    def wait_quiet(self, owner, replica=1, seconds=60):
        def quiet():
            return self.saves(owner, replica=replica).get("doing", "") == "" and not self.processes_of(owner, replica)

        wait_until("nothing is under way", quiet, seconds, 0.05)

    def processes_of(self, owner, replica=1):
        """What warden has of it."""
        return (self.state / f"run/warden-{self.prefix}{replica}/agents" / f"{agent_id(owner.asset)}.json").exists()

    def web(self, owner, *args, **kwargs):
        """Again, if a sandbox that was started anew cut it: it resets what it finds."""
        try:
            return self.web_once(owner, *args, **kwargs)
        except ConnectionError:
            return self.web_once(owner, *args, **kwargs)

    def web_once(self, owner, method="GET", path="/memory", body=None, replica=1):
        at = self.reach(owner.token, 20000, replica=replica)
        assert at["state"] == "running", at
        address, port = at["upstream"].split(":")
        connection = http.client.HTTPConnection(address, int(port), timeout=20)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {at['agent_token']}"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def remember(self, owner, text, replica=1):
        status, body = self.web(owner, "PUT", body=text, replica=replica)
        assert status == 204, (status, body)

    def memory(self, owner, replica=1):
        status, body = self.web(owner, replica=replica)
        assert status == 200, (status, body)
        return body.decode()

    # ---- its snapshots

    def saves(self, owner, after=0, wait_ms=0, replica=1):
        return self.ask("snapshots", timeout=wait_ms / 1000 + 5, token=owner.token, after=after, wait_ms=wait_ms, replica=replica)

    def save(self, owner, replica=1, outcome="made"):
        answer = self.ask("snapshot", timeout=25, token=owner.token, wait_ms=20000, replica=replica)
        assert answer.get("outcome") == outcome, (answer, self.log(f"sandbox-{replica}", 30), self.log(f"warden-{replica}", 10))
        return answer

    def listed(self, owner, replica=1):
        return [s["id"] for s in self.saves(owner, replica=replica).get("snapshots", [])]

    def objects(self, owner):
        """Of the agent in the storage, by name."""
        if self.s3:
            prefix = f"agents/{agent_id(owner.asset)}/"
            return {key[len(prefix):]: S3Object(self.s3, key) for key in self.s3.keys(prefix)}
        folder = self.state / "store/agents" / agent_id(owner.asset)
        # (unlike rglob, a walk goes on where a sweep removes a folder meanwhile)
        found = sorted(pathlib.Path(at) / name for at, _, files in os.walk(folder) for name in files)
        return {str(p.relative_to(folder)): p for p in found}

    def lose_volume(self, owner, replica=1):
        """What is on the host's disk of it."""
        folder = self.state / f"volumes-{replica}" / agent_id(owner.asset)
        assert folder.exists()
        subprocess.run(["rm", "-rf", folder], check=True)

    def restart(self, owner, replica=1, seconds=60):
        boot = self.ask("state", token=owner.token, replica=replica)["boot_id"]
        self.ask("restart", token=owner.token, replica=replica)
        self.wait_next(owner, boot, replica, seconds)

    def wait_next(self, owner, boot, replica=1, seconds=60):
        """It runs, by another start."""
        def runs():
            state = self.ask("state", token=owner.token, replica=replica)
            return state["state"] == "running" and state["boot_id"] != boot

        wait_until("it runs again", runs, seconds, 0.05)

    def restore(self, owner, number, replica=1, seconds=60):
        boot = self.ask("state", token=owner.token, replica=replica)["boot_id"]
        self.ask("restore", token=owner.token, id=number, replica=replica)
        self.wait_next(owner, boot, replica, seconds)

    def refused_start(self, owner, replica=1, seconds=30):
        """Why it does not start."""
        self.ask("start", token=owner.token, replica=replica)
        wait_until("it is refused", lambda: self.state_of(owner.token, replica=replica) == "stopped", seconds, 0.05)
        return self.ask("state", token=owner.token, replica=replica)["why"]

    def park(self, owner, to, replica=1, seconds=60):
        """The first half of a move: saved and stopped, for it."""
        def is_parked():
            return self.ask("move", role="operator", replica=replica, asset=owner.asset, to=to).get("moved")

        wait_until("it is saved and stopped", is_parked, seconds, 0.1)

    def place(self, owner, to, **more):
        """The second half; alone, for a host that is lost."""
        return self.operator.call("session.place", asset=owner.asset, to=to, **more)

    def move(self, owner, to, replica=1, seconds=60):
        self.park(owner, to, replica, seconds)
        return self.place(owner, to, **{"from": f"sandbox-{replica}"})

    def put_secret(self, owner, kind, name, value):
        self.ask("put", token=owner.token, kind=kind, name=name, value=value.encode())

    def sell(self, owner, to=None):
        """Signed in as the buyer; the seller's agent has ended."""
        buyer = to or Wallet()
        self.transfer(owner.asset, buyer)
        buyer.asset = owner.asset
        buyer.token = wait_until("the buyer is let in", lambda: self.lets_in(buyer, owner.asset), 20, 0.2)
        return buyer

    def cgroup_files(self, owner, replica=1):
        return pathlib.Path("/sys/fs/cgroup").glob(f"**/multiclaw-{self.prefix}{replica}/{agent_id(owner.asset)}/cgroup.procs")
