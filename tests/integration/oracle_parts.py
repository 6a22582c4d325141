"""chain-oracle against the real development chain and a real Redis. The test plays auth, and an operator."""

import json
import shutil
import signal
import subprocess

from parts import Parts, Refused  # noqa: F401
from suite import BIN, ROOT, wait_until

NODES = ("a", "b")


class Oracle(Parts):
    """Parts with nothing but oracles. nodes: which of the chain's two nodes are configured."""

    def __init__(self, nodes="ab", replicas=1, slot_ms=50, **settings):
        # this chain is faster than any real one
        settings = {"MULTICLAW_CHAIN_SLOTS_PER_S": 2000 // slot_ms, **settings}
        super().__init__(replicas, MULTICLAW_SWEEP_S=settings.pop("MULTICLAW_SWEEP_S", 2), **settings)
        self.nodes, self.slot_ms, self.settings = nodes, slot_ms, settings

    def start(self):
        for folder in ("conf", "keys", "run", "log", "redis", "chain"):
            (self.state / folder).mkdir(mode=0o700)
        subprocess.run([BIN / "multiclaw", "keys", "init", self.state / "keys"], check=True, stdout=subprocess.DEVNULL)
        with open(self.state / "keys/redis/users.acl", "a") as acl:
            acl.write("user tests on nopass ~* &* +@all\n")
        shutil.copy(ROOT / "deploy/redis/redis.conf", self.state / "conf/redis.conf")
        import redis

        self.redis = redis.Redis(unix_socket_path=str(self.state / "run/redis.sock"), username="tests", password="x",
                                 decode_responses=True)
        self.launch_redis()
        self.launch_chain()
        self.launch_oracles()
        return self

    # ---- processes

    def launch_chain(self):
        ports = self.state / "chain/ports.json"
        old = json.loads(ports.read_text()) if ports.exists() else {"rpc_a": 0, "ws_a": 0, "rpc_b": 0, "ws_b": 0}
        ports.unlink(missing_ok=True)
        self.launch("devchain", BIN / "multiclaw-devchain", "serve", "--state", "chain", "--demo", "--slot-ms", self.slot_ms,
                    "--port", old["rpc_a"], "--ws-port", old["ws_a"], "--port-b", old["rpc_b"], "--ws-port-b", old["ws_b"])
        wait_until("the development chain", ports.exists, 10)
        self.ports = json.loads(ports.read_text())
        demo = json.loads((self.state / "chain/demo.json").read_text())
        self.collection, self.assets, self.rpc_port = demo["collection"], demo["assets"], self.ports["rpc_a"]
        self.env["MULTICLAW_COLLECTION"] = self.collection
        self.env["SOLANA_RPC_URL"] = ",".join(f"http://127.0.0.1:{self.ports[f'rpc_{n}']}" for n in self.nodes)
        self.env["SOLANA_WS_URL"] = ",".join(f"ws://127.0.0.1:{self.ports[f'ws_{n}']}" for n in self.nodes)
        self.env.update({k: str(v) for k, v in self.settings.items()})

    def launch_oracles(self, wait=True):
        for i in range(1, self.replicas + 1):
            self.launch_daemon(f"chain-oracle-{i}")
        try:
            for i in range(1, self.replicas + 1):
                if wait:
                    wait_until("ready", lambda: self.is_ready(f"chain-oracle-{i}"), 20)
            if wait:
                wait_until("push", lambda: self.live() == len(self.nodes), 10)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log('chain-oracle-1', 40)}") from None

    def restart(self, name, sig=signal.SIGKILL):
        self.signal(name, sig)
        self.processes[name].wait(timeout=10)
        self.launch_daemon(name)

    # ---- what it says

    @property
    def oracle(self):
        if not hasattr(self, "_oracle"):
            self._oracle = self.peer("auth", "chain-oracle")
        return self._oracle

    def owner(self, asset, wallet, timeout=5.0, peer=None):
        address = wallet if isinstance(wallet, str) else wallet.address
        return (peer or self.oracle).call("oracle.owner", timeout, asset=asset, wallet=address)

    @property
    def vault(self):
        if not hasattr(self, "_vault"):
            self._vault = self.peer("secret-vault", "chain-oracle")
        return self._vault

    def finalized(self, asset, min_slot=0, timeout=5.0, peer=None):
        return (peer or self.vault).call("oracle.finalized", timeout, asset=asset, min_slot=min_slot)

    def sign_in(self, asset, wallet, **more):
        """The slot of proof."""
        answer = self.owner(asset, wallet, **more)
        assert (answer["verdict"], answer["owner"]) == ("owned", wallet.address), answer
        return answer["slot"]

    def found(self, wallet):
        return {a["asset"]: a.get("name", "") for a in self.oracle.call("oracle.assets", wallet=wallet.address)["assets"]}

    def ops(self, path, replica=1, service="chain-oracle"):
        import http.client
        import socket

        class Connection(http.client.HTTPConnection):
            def connect(connection):
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.connect(str(self.state / f"run/{service}-{replica}.ops"))

        connection = Connection("localhost", timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def metric(self, name, labels="", replica=1, service="chain-oracle"):
        for line in self.ops("/metrics", replica, service).splitlines():
            if line.startswith(f"{name}{{{labels}}} " if labels else f"{name} "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def live(self, replica=1):
        return sum(self.metric("multiclaw_oracle_push_live", f'node="{i}"', replica) for i in range(len(self.nodes)))

    def healthy(self, node, replica=1):
        return self.metric("multiclaw_oracle_node_healthy", f'node="{self.nodes.index(node)}"', replica) == 1

    def sweeps(self, result="counted", replica=1):
        return self.metric("multiclaw_oracle_sweeps_total", f'result="{result}"', replica)

    # ---- what is written

    def record(self, asset):
        fields = self.redis.hgetall(f"mc:owner:{asset}")
        return (fields["owner"], int(fields["seen_slot"]), int(fields["other_slot"])) if fields else None

    def record_owner(self, asset):
        return self.redis.hget(f"mc:owner:{asset}", "owner")

    def chain(self):
        fields = self.redis.hgetall("mc:chain")
        return int(fields["slot"]), int(fields["at"])

    def events(self, asset):
        return [e["k"] for _, e in self.redis.xrange("mc:events") if e["a"] == asset]

    # ---- faults

    def fault(self, node, **faults):
        """Of node a or b; faults as devchain names them, with underscores."""
        self.devchain("fault", node=node, **faults)

    def ok(self, *nodes):
        for node in nodes or NODES:
            self.devchain("ok", node=node)
