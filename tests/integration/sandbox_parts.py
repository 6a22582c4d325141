"""sandbox with everything but containers, real: Redis, development chain, chain-oracle, session, auth, secret-vault. Warden is the test's own."""

import base64
import hashlib
import json
import signal
import socket

from fake_warden import FakeWarden
from parts import Peer, Refused
from suite import BIN, b58decode, wait_until
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
        if call in ("state", "start", "stop", "restart", "reach", "logs", "agents", "halt", "wake", "exec"):
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
