"""secret-vault with everything behind it, real: Redis, development chain, chain-oracle, session, auth. The test plays router, sandbox and operator.

What is kept is read and checked by Python's own XChaCha20-Poly1305, BLAKE2b and SQLite.
"""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import resource
import secrets
import shutil
import signal
import socket
import sqlite3
import tempfile

import pytest
import zmq

from parts import Parts, Refused  # noqa: F401 (for the tests)
from suite import BIN, ROOT, Wallet, wait_until

SECRETS_MAX = 1000
VALUE_MAX = 65536
PROVIDERS = ROOT / "deploy/providers.json"

# whose call is it? (issue: router writes and lists, sandbox alone materialises, operators do the rest)
CALLERS = {
    **{f"vault.{call}": {"router"} for call in ("put", "list", "delete", "resolve", "audit", "generate", "hot")},
    "vault.grant": {"router", "sandbox"},
    **{f"vault.{call}": {"sandbox"} for call in ("materialise", "regrant", "note", "keep", "hand_over")},
    "vault.use": {"llm-gateway"},
    "vault.state": {"operator-read", "operator-vault"},
    **{f"vault.{call}": {"operator-vault"} for call in ("unseal", "rotate", "global_put", "global_list", "global_delete", "destroy_owner",
                                                        "reinstate", "reset_breaker", "export")},
}


def refusal(function, *args, **kwargs):
    """(status, reason) with which it is refused."""
    try:
        answer = function(*args, **kwargs)
    except Refused as e:
        return e.status, e.reason
    raise AssertionError(f"not refused: {answer}")


def boot_id():
    return secrets.token_hex(16)


def key_text(key=None):
    return base64.b64encode(key or secrets.token_bytes(32)) + b"\n"


def write_private(path, data, mode=0o600):
    path = pathlib.Path(path)
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    path.chmod(mode)
    return path


class Vaults(Parts):
    """vaults: how many; more than one need store="postgres:..."."""

    # finalized comes half a second after confirmed
    chain_options = ("--slot-ms", 50, "--finalized-lag", 12)

    def __init__(self, vaults=1, store=None, **settings):
        self.vaults = vaults
        self.of_vault = {}  # settings of every vault alone
        every = range(1, vaults + 1)
        settings = {
            "MULTICLAW_VAULTS": ",".join(f"ipc://run/secret-vault-{i}.bus" for i in every),
            "MULTICLAW_VAULT_PROVIDERS": PROVIDERS,
            "MULTICLAW_VAULT_PUTS_PER_MINUTE": 1000000,
            "MULTICLAW_VAULT_ERASE_EVERY_S": 1,
            "MULTICLAW_CHAIN_SLOTS_PER_S": 40,
            "MULTICLAW_SWEEP_S": 2,
            **({"MULTICLAW_VAULT_STORE": store} if store else {}),
            **settings,
        }
        super().__init__(**settings)
        self.env["MULTICLAW_BELLS"] += "".join(f",ipc://run/secret-vault-{i}.bell" for i in every)

    # ---- processes

    def start(self):
        super().start()
        self.prepare()
        for i in range(1, self.vaults + 1):
            self.launch_vault(i)
        for i in range(1, self.vaults + 1):
            self.wait_vault(i)
        return self

    def prepare(self):
        """Before the first vault starts."""

    def launch_vault(self, i=1, cores=False, binary=None, **more):
        """more: settings of this start alone. cores: the kernel would write one."""
        name = f"secret-vault-{i}"
        more = {"MULTICLAW_REPLICA": name, "MULTICLAW_VAULT_MARKS": f"vault-marks/{name}.db",
                **{k: str(v) for k, v in {**self.of_vault, **more}.items()}}
        limit = resource.getrlimit(resource.RLIMIT_CORE)
        if cores:
            resource.setrlimit(resource.RLIMIT_CORE, (limit[1], limit[1]))
        try:
            self.launch(name, binary or BIN / "multiclaw-secret-vault", **more)
        finally:
            resource.setrlimit(resource.RLIMIT_CORE, limit)
        return self.processes[name]

    def wait_vault(self, i=1, seconds=20):
        name = f"secret-vault-{i}"
        try:
            wait_until(f"{name} is open", lambda: self.is_ready(name), seconds)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.readyz(i)}\n{self.log(name, 40)}") from None

    def readyz(self, i=1):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as ops:
            ops.connect(str(self.state / f"run/secret-vault-{i}.ops"))
            ops.sendall(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return b"".join(iter(lambda: ops.recv(65536), b"")).decode()

    def stop_vault(self, i=1, sig=signal.SIGTERM):
        process = self.processes[f"secret-vault-{i}"]
        if process.poll() is None:
            process.send_signal(sig)
        status = process.wait(timeout=20)
        assert sig == signal.SIGKILL or status == 0, f"ended with {status}\n" + self.log(f"secret-vault-{i}", 40)

    def restart_vault(self, i=1, sig=signal.SIGTERM, **more):
        self.stop_vault(i, sig)
        self.launch_vault(i, **more)
        self.wait_vault(i)

    def fails_to_start(self, i=1, **more):
        """What it says, of a start that ends by itself."""
        path = self.state / f"log/secret-vault-{i}.log"
        before = path.stat().st_size if path.exists() else 0
        process = self.launch_vault(i, **more)
        status = process.wait(timeout=20)
        said = path.read_bytes()[before:].decode(errors="replace")
        assert status != 0, said
        return said

    # ---- peers

    def peer_of(self, role, service="secret-vault", replica=1):
        """One per role and replica, kept."""
        if not hasattr(self, "_peers"):
            self._peers = {}
        at = (role, service, replica)
        if at not in self._peers:
            self._peers[at] = self.peer(role, service, replica)
        return self._peers[at]

    def new_key(self, name, roles):
        """A CURVE key with these roles, as `multiclaw keys` would list it."""
        public, secret = zmq.curve_keypair()
        write_private(self.state / f"keys/curve/{name}.key", b"public " + public + b"\nsecret " + secret + b"\n")
        with open(self.state / "keys/curve/peers", "a") as peers:
            peers.write(f"{roles} {public.decode()}\n")
        return public.decode()

    def ask(self, call, timeout=5.0, replica=1, role="router", **body):
        return self.peer_of(role, replica=replica).call(f"vault.{call}", timeout, **body)

    def operate(self, call, timeout=10.0, replica=1, **body):
        return self.ask(call, timeout, replica, "operator", **body)

    # ---- an owner's calls

    def put(self, token, kind, name, value, **more):
        value = value.encode() if isinstance(value, str) else value
        return self.ask("put", token=token, kind=kind, name=name, value=value, **more)["version"]

    def listed(self, token, **more):
        items = self.ask("list", token=token, **more)["secrets"]
        found = {(item["kind"], item["name"]): item for item in items}
        assert len(found) == len(items) and list(found) == sorted(found)
        return found

    def delete(self, token, kind, name, **more):
        return self.ask("delete", token=token, kind=kind, name=name, **more)["existed"]

    def resolved(self, token, **more):
        return {p["provider"]: p for p in self.ask("resolve", token=token, **more)["providers"]}

    def trail(self, token, **more):
        """(entries, head_seq, head) of the owner's chain, all of it."""
        entries = []
        while True:
            answer = self.ask("audit", token=token, after=entries[-1]["seq"] if entries else 0, **more)
            entries += answer["entries"]
            if not answer["entries"] or entries[-1]["seq"] >= answer["head_seq"]:
                return entries, answer["head_seq"], answer["head"]

    def export(self):
        entries = []
        while True:
            answer = self.operate("export", after=entries[-1]["all_seq"] if entries else 0)
            entries += answer["entries"]
            if not answer["entries"]:
                return entries, answer["head_seq"], answer["head"]

    def grant(self, token, boot=None, host="sandbox", **more):
        """(grant, boot id); host: a role whose key may use it, or the key."""
        boot = boot or boot_id()
        host = host if len(host) == 40 else self.key(host)["public"].decode()
        return self.ask("grant", token=token, boot_id=boot, host_key=host, **more)["grant"], boot

    def materialise(self, grant, boot, role="sandbox", **more):
        """(path -> (mode, bytes), first page) of all pages."""
        files, first, page, after = {}, None, 0, {}
        while True:
            answer = self.ask("materialise", role=role, grant=grant, boot_id=boot, page=page, **after, **more)
            first = first or answer
            data, at = answer.get("bytes", b""), 0
            for file in answer["files"]:
                assert file["path"] not in files
                files[file["path"]] = (file["mode"], data[at : at + file["size"]])
                at += file["size"]
                after = {"after": file["path"]}
            assert at == len(data)
            if not answer.get("next"):
                return files, first
            assert answer["next"] > page
            page = answer["next"]

    def files(self, token, **more):
        return self.materialise(*self.grant(token, **more))[0]

    @property
    def vault_state(self):
        return self.operate("state")

    # ---- owners

    def new_owner(self, **params):
        """A wallet with one new asset, signed in: .asset, .token."""
        wallet = Wallet()
        wallet.asset = self.mint(wallet, **params)
        wallet.token = self.token_of(wallet, wallet.asset)
        return wallet

    def token_of(self, wallet, asset):
        """Of a patient client: the oracle may still look at an older slot than the mint's."""

        def once():
            try:
                return self.sign_in(wallet, asset)["token"]
            except Refused as e:
                assert e.status in ("unavailable", "denied", "timeout"), e
                return None

        return wait_until("a sign-in", once, 10, 0.05)

    def sell(self, owner, buyer):
        """Returns the buyer's token."""
        self.transfer(owner.asset, buyer)
        return self.token_of(buyer, owner.asset)

    def erased(self, seconds=20, replica=1):
        """Until nothing is locked any more."""
        wait_until("erased", lambda: self.operate("state", replica=replica)["locked"] == 0, seconds, 0.05)

    # ---- what is on disk

    @property
    def folder(self):
        return self.state / "vault"

    @contextlib.contextmanager
    def copy_of_store(self):
        """A connection to a copy of the SQLite file as it is now, with its WAL."""
        with tempfile.TemporaryDirectory(prefix="mc-copy-") as folder:
            for path in self.folder.iterdir():
                if not path.name.endswith("-shm"):
                    shutil.copy(path, folder)
            with contextlib.closing(sqlite3.connect(pathlib.Path(folder) / self.store_file.name)) as connection:
                connection.row_factory = sqlite3.Row
                yield connection

    @property
    def store_file(self):
        return next(p for p in self.folder.iterdir() if p.suffix not in (".tmp",) and not p.name.endswith(("-wal", "-shm", "-journal")))

    @contextlib.contextmanager
    def opened_store(self):
        """The file itself, to be changed while no vault runs."""
        with contextlib.closing(sqlite3.connect(self.store_file)) as connection:
            connection.row_factory = sqlite3.Row
            yield connection
            connection.commit()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def holds_bytes(self, needle, *folders):
        """The files that hold these bytes."""
        return [str(p) for folder in folders or (self.folder, self.state / "vault-marks") for p in sorted(folder.rglob("*"))
                if p.is_file() and needle in p.read_bytes()]


def text(value):
    data = value.encode()
    return len(data).to_bytes(4, "little") + data


def number(value):
    return value.to_bytes(8, "little")


def audit_hash(entry):
    data = text("multiclaw audit entry v1") + text(entry["chain"]) + number(entry["seq"]) + number(entry["at_ms"]) + text(entry["act"]) + \
        text(entry["by"]) + text(entry.get("kind", "")) + text(entry.get("name", "")) + number(entry.get("version", 0)) + \
        text(entry.get("detail", "")) + entry["prev"]
    return hashlib.blake2b(data, digest_size=32).digest()


def check_chain(entries, head_seq, head):
    """One owner's chain, by Python's BLAKE2b."""
    before = bytes(32)
    for seq, entry in enumerate(entries, 1):
        assert entry["seq"] == seq and entry["prev"] == before, entry
        before = audit_hash(entry)
        assert entry["hash"] == before, entry
    assert (len(entries), before) == (head_seq, head)


def check_all_chains(entries, head_seq, head):
    """All of them, as exported."""
    heads, before = {}, bytes(32)
    for all_seq, entry in enumerate(entries, 1):
        assert entry["all_seq"] == all_seq
        seq, prev = heads.get(entry["chain"], (0, bytes(32)))
        assert (entry["seq"], entry["prev"]) == (seq + 1, prev), entry
        assert entry["hash"] == audit_hash(entry)
        heads[entry["chain"]] = (entry["seq"], entry["hash"])
        before = hashlib.blake2b(text("multiclaw audit head v1") + number(all_seq) + before + entry["hash"], digest_size=32).digest()
        assert entry["all_hash"] == before
    assert (len(entries), before) == (head_seq, head)


def preview_of(value):
    """Security rule 21: eight characters, a quarter of the value at most, none under twenty."""
    return value[: min(8, len(value) // 4)] if len(value) >= 20 else ""


def random_key(prefix="sk-ant-api03-"):
    return prefix + secrets.token_urlsafe(40)


def jti_of(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["jti"]


def act(v, wallet, asset, act_name="hot_wallet", **more):
    return v.auth.call("auth.challenge", wallet=wallet.address, asset=asset, act=act_name, ip="203.0.113.7", **more)


def generate(v, owner, issued, signer=None, message=None, token=None, **more):
    signature = (signer or owner).sign(message or issued["message"].encode())
    return v.ask("generate", token=token or owner.token, nonce=issued["nonce"], signature=signature, ip="203.0.113.7", **more)


def ops(v, path, i=1):
    class Connection(http.client.HTTPConnection):
        def connect(connection):
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(v.state / f"run/secret-vault-{i}.ops"))

    connection = Connection("localhost", timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


# ---- fixtures, for the modules that import them


@pytest.fixture
def own():
    """Vaults that belong to the test: own(replicas=..., MULTICLAW_X=...)."""
    made = []

    def make(cls=Vaults, **kwargs):
        made.append(cls(**kwargs))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def owner(v):
    """Of the module's vaults."""
    return v.new_owner()
