"""Parts whose Redis is a primary with two replicas under three Sentinels, from the files of deploy/redis; and two of each daemon, routers included."""

import os
import shutil
import signal
import threading
import time

import redis

from parts import Parts, over_socket
from suite import ROOT, free_port, wait_until

NODES = (1, 2, 3)
# of the two halves that can be cut apart (test_sentinel.py): what ends in -1, and all the rest
GROUPS = (54321, 54322)


class Watched(Parts):
    """hosts: addresses of the three. With halves, a daemon knows those of its own half only."""

    def __init__(self, hosts=("127.0.0.1",) * 3, down_after_ms=1000, halves=False, **settings):
        super().__init__(replicas=2, MULTICLAW_ROUTERS="ipc://run/router-1.bus,ipc://run/router-2.bus", **settings)
        self.hosts, self.down_after_ms, self.halves = hosts, down_after_ms, halves
        self.ports = {f"{kind}-{i}": free_port() for kind in ("redis", "sentinel") for i in NODES}
        self.env["MULTICLAW_SENTINELS"] = ",".join(self.address(f"sentinel-{i}") for i in NODES)
        # nobody's: with Sentinels it is not used
        self.env["MULTICLAW_REDIS"] = "unix:run/none.sock"

    def address(self, name):
        return f"{self.hosts[int(name[-1]) - 1]}:{self.ports[name]}"

    # ---- processes

    def launch(self, name, *command, **more):
        if self.halves:
            group = GROUPS[not name.endswith("-1")]
            command = ("setpriv", "--regid", group, "--clear-groups", "--", *command)
        super().launch(name, *command, **more)

    def launch_daemon(self, name):
        if not self.halves:
            return super().launch_daemon(name)
        i = name[-1]
        saved = self.env
        self.env = {**saved, **{f"MULTICLAW_{kind}S": f"ipc://run/{service}-{i}.bus" for kind, service in
                                (("AUTH", "auth"), ("SESSION", "session"), ("ORACLE", "chain-oracle"), ("ROUTER", "router"))},
                    "MULTICLAW_BELLS": f"ipc://run/session-{i}.bell,ipc://run/chain-oracle-{i}.bell"}
        super().launch_daemon(name)
        self.env = saved

    def start(self):
        super().start()
        for i in (1, 2):
            self.launch_daemon(f"router-{i}")
        for i in (1, 2):
            wait_until("the routers", lambda i=i: self.is_ready(f"router-{i}"), 10)
        return self

    def launch_node(self, i):
        self.launch(f"redis-{i}", "env", "-C", self.state / f"node-{i}", "redis-server", "conf/replicated.conf")
        wait_until(f"redis-{i}", lambda: self.answers(i), 10)

    def launch_redis(self):
        """In place of the one of Parts."""
        for i in NODES:
            self.make_node(i)
            self.launch_node(i)
        wait_until("the replicas", lambda: self.info(1)["connected_slaves"] == 2, 10)
        for i in NODES:
            self.launch(f"sentinel-{i}", "redis-server", self.make_sentinel(i), "--sentinel")
        wait_until("the Sentinels know each other", lambda: all(self.knows_all(i) for i in NODES), 20)
        self.redis = self.client(1)

    def fill_in(self, source, target, name, more):
        text = (ROOT / "deploy/redis" / source).read_text()
        host, port = self.address(name).split(":")
        text = text.replace("bind 127.0.0.1", f"bind {host}\nbind-source-addr {host}").replace("\nport 6379\n", f"\nport {port}\n").replace("\nport 26379\n", f"\nport {port}\n")
        target.write_text(text + more)

    def make_node(self, i):
        node = self.state / f"node-{i}"
        for folder in ("conf", "run", "redis"):
            (node / folder).mkdir(parents=True)
        (node / "keys").symlink_to(self.state / "keys")
        shutil.copy(ROOT / "deploy/redis/redis.conf", node / "conf")
        host, port = self.address("redis-1").split(":")
        self.fill_in("replicated.conf", node / "conf/replicated.conf", f"redis-{i}", f"replicaof {host} {port}\n" if i > 1 else "")

    def make_sentinel(self, i):
        conf = self.state / f"node-{i}/sentinel.conf"
        self.fill_in("sentinel.conf", conf, f"sentinel-{i}", (self.state / "keys/redis/sentinel.conf").read_text())
        text = conf.read_text().replace("monitor multiclaw 127.0.0.1 6379", "monitor multiclaw " + self.address("redis-1").replace(":", " "))
        conf.write_text(text.replace("down-after-milliseconds multiclaw 5000", f"down-after-milliseconds multiclaw {self.down_after_ms}"))
        return conf

    # ---- from the side

    def client(self, i, **options):
        return redis.Redis(unix_socket_path=str(self.state / f"node-{i}/run/redis.sock"), username="tests", password="x", decode_responses=True, **options)

    def info(self, i):
        return self.client(i).info("replication")

    def is_replica(self, i):
        """Sentinel ends every connection to one that it demotes."""
        try:
            return self.info(i)["role"] == "slave"
        except redis.exceptions.ConnectionError:
            return False

    def answers(self, i):
        try:
            return self.client(i).ping()
        except redis.exceptions.RedisError:
            return False

    def sentinel(self, i):
        host, port = self.address(f"sentinel-{i}").split(":")
        password = (self.state / "keys/redis/sentinel.password").read_text().strip()
        return redis.Redis(host=host, port=int(port), username="sentinel", password=password, decode_responses=True, socket_timeout=1)

    def knows_all(self, i):
        try:
            seen = self.sentinel(i).sentinel_masters()["multiclaw"]
        except redis.exceptions.RedisError:
            return False
        return (seen["num-slaves"], seen["num-other-sentinels"]) == (2, 2)

    def named(self):
        """The number of the Redis that most of the Sentinels name, or None."""
        said = []
        for i in NODES:
            try:
                host, port = self.sentinel(i).sentinel_get_master_addr_by_name("multiclaw")
                said += [n for n in NODES if self.address(f"redis-{n}") == f"{host}:{port}"]
            except (redis.exceptions.RedisError, TypeError):
                pass
        return next((n for n in NODES if said.count(n) * 2 > len(NODES)), None)

    def kill(self, name):
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def kill_whole(self, i):
        """kill -9 of the primary when both replicas have all that it ever answered."""
        c = self.client(i, single_connection_client=True)
        # in one turn of its loop: nobody writes after the mark
        p = c.pipeline(transaction=False)
        p.execute_command("SET", "tests:mark", "1").execute_command("CLIENT", "PAUSE", "10000", "WRITE").execute()
        assert c.wait(2, 2000) == 2
        self.kill(f"redis-{i}")

    def cut_replicas(self, i):
        """From here on the primary's writes reach nobody, and it goes on: what a failover loses for certain."""
        c = self.client(i)
        c.config_set("min-replicas-to-write", "0")
        c.execute_command("ACL", "SETUSER", "replica", "off")
        c.execute_command("CLIENT", "KILL", "TYPE", "replica")
        wait_until("the replicas are off", lambda: self.info(i)["connected_slaves"] == 0, 5)

    def new_primary(self, old, seconds=20):
        """(its number, when most of the Sentinels named it)"""
        def other():
            n = self.named()
            return n if n != old else None

        return wait_until("a new primary", other, seconds, every=0.02), time.monotonic()

    # ---- what routers say

    def status(self, token, replica=1):
        return over_socket(self, "api", "GET", "/v1/session", token, replica=replica)[0].status

    def statuses(self, token):
        return {self.status(token, i) for i in (1, 2)}

    def logout(self, token, replica=1):
        return over_socket(self, "api", "POST", "/v1/auth/logout", token, {}, replica=replica)[0].status

    def metric(self, name, replica=1):
        text = over_socket(self, "ops", "GET", "/metrics", replica=replica)[1]
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name)}

    def redis_check(self, replica=1):
        checks = over_socket(self, "ops", "GET", "/readyz", replica=replica)[1]["checks"]
        return next(check["why"] for check in checks if check["name"] == "redis")


class Poller:
    """Asks both routers about sessions all the time, and keeps every answer: (when it was asked, when it came, name, replica, status)."""

    def __init__(self, parts, **tokens):
        self.parts, self.tokens, self.seen, self.over = parts, tokens, [], threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(replica,)) for replica in (1, 2)]

    def ask(self, replica):
        while not self.over.wait(0.01):
            for name, token in self.tokens.items():
                asked = time.monotonic()
                status = self.parts.status(token, replica)
                self.seen.append((asked, time.monotonic(), name, replica, status))

    def of(self, name, replica=None, since=0.0):
        """[(when it came, status)] of what was asked from then on."""
        return [(came, status) for asked, came, n, r, status in self.seen if n == name and replica in (None, r) and asked >= since]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
