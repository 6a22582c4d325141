"""Fifty planted secrets go through everything that can happen to them; afterwards none is where it must not be, in any encoding."""

import base64
import json
import os
import pathlib
import pwd
import resource
import secrets
import signal
import socket
import subprocess
import time

import nacl.bindings
import pytest

from leak_scanner import LeakScanner
from parts import Peer
from suite import BIN, BUILD, ROOT, Wallet, b58decode, wait_until
from vault_parts import Refused, Vaults, boot_id
from vault_parts import own  # noqa: F401: fixtures
from vault_suite import VaultSuite, new_owner, token_of

LEAKY = (BUILD if BUILD.is_absolute() else ROOT / BUILD) / "leaky/multiclaw-secret-vault"


def token(prefix="", size=36):
    return prefix + secrets.token_urlsafe(size)


def planted_values():
    """(kind, name) -> value: what owners keep, as hostile to logs and encoders as they come."""
    llm = {"anthropic": "sk-ant-api03-", "openai": "sk-proj-", "openrouter": "sk-or-v1-", "gemini": "AIza", "groq": "gsk_", "mistral": "",
           "xai": "xai-", "deepseek": "sk-", "together": "tgp_v1_", "huggingface": "hf_"}
    values = {("llm", name): token(prefix) for name, prefix in llm.items()}
    values |= {("bot", "telegram"): "1234567890:" + token(), ("bot", "discord"): token("MTE", 54), ("bot", "slack"): token("xoxb-"),
               ("bot", "slack_app"): token("xapp-1-"), ("bot", "other-one"): token()}
    odd = {"quotes": '"\\\'`$(){}<>&;|', "unicode": "ключ-鍵-🔑-ñ", "spaces": "  a b\tc  ", "lines": "-----BEGIN KEY-----\n", "url": "https://u:p@h/?a=b&c=%41#",
           "json": '{"key": "', "xml": "<key attr='", "sql": "'; DROP TABLE records; --", "format": "%s%n%p%x {0} {{}}", "equals": "KEY=value;\r\n",
           "hex": "deadbeef" * 4, "base64": "QUJDRA==", "comma": ",,,,", "dots": "../../etc/passwd", "percent": "%00%0a%25", "bidi": "\u202e\u2066abc",
           "combining": "e\u0301" * 5, "dashes": "--password=", "slash": "//\\//", "large": "L" * 50000}
    return values | {("custom", name): text + token() for name, text in odd.items()}


class Watched(VaultSuite):
    """A suite whose every answer, to HTTP and on the command line, is kept for the scanner."""

    def __init__(self, **settings):
        super().__init__(MULTICLAW_LOG_LEVEL="debug", **settings)
        self.seen = []  # (where, bytes)
        self.scanned = []  # pids whose environment and arguments were kept

    def http(self, method, path, *args, **kwargs):
        answer = super().http(method, path, *args, **kwargs)
        self.seen.append((f"HTTP {method} {path} -> {answer.status}", str(answer.headers).encode() + answer.body))
        return answer

    def cli(self, *args, **kwargs):
        done = super().cli(*args, **{**kwargs, "check": False})
        self.seen.append((f"multiclaw {' '.join(map(str, args[:3]))}", (done.stdout + done.stderr).encode()))
        if kwargs.get("check", True):
            assert done.returncode == 0, done.stderr
        return done

    def typed(self, *args, value, session="session.json"):
        """A command that waits for its secret: meanwhile everybody may look at it."""
        command = [BIN / "multiclaw", "--url", self.url, "--session", self.state / session, "-c", self.state / "conf/suite.conf", *args]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.env)
        process.stdin.write(value[: len(value) // 2].encode())
        process.stdin.flush()
        wait_until("it reads", lambda: pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes(), 5)
        self.look_at(process.pid)
        out, _ = process.communicate(value[len(value) // 2 :].encode() + b"\n", timeout=30)
        self.seen.append((f"multiclaw {' '.join(map(str, args))}", out))
        assert process.returncode == 0, out

    def look_at(self, *pids):
        for pid in pids:
            for name in ("environ", "cmdline", "comm"):
                try:
                    self.seen.append((f"/proc/{name} of {pid}", pathlib.Path(f"/proc/{pid}/{name}").read_bytes()))
                    self.scanned.append(pid)
                except (FileNotFoundError, ProcessLookupError, PermissionError):
                    pass

    def look_at_all(self):
        """Every process of the suite, and what each says of itself."""
        self.look_at(*family_of(self.process.pid))
        for path in sorted((self.state / "run").glob("*.ops")):
            for page in ("/metrics", "/readyz", "/healthz"):
                self.seen.append((f"{path.name} {page}", ops_page(path, page)))

    def key(self, name):
        text = (self.state / f"keys/curve/{name}.key").read_text()
        return {word[0]: word[1].encode() for word in (line.split() for line in text.splitlines()) if len(word) == 2}

    def bus(self, role, call, **body):
        peer = Peer(self, role, "secret-vault")
        try:
            return peer.call(f"vault.{call}", **body)
        finally:
            peer.close()

    def scanner(self, planted):
        """With everything that there is: answers, processes, files, what Redis would leave behind."""
        admin = self.redis()
        admin.config_set("rdbcompression", "no")
        admin.save()
        scanner = LeakScanner(planted)
        for where, data in self.seen:
            scanner.add(where, data)
        scanner.add_folder(self.state)
        return scanner


def family_of(pid):
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [pid] + [p for child in children for p in family_of(int(child))]


def ops_page(path, page):
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(str(path))
            s.sendall(f"GET {page} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            return b"".join(iter(lambda: s.recv(65536), b""))
    except OSError:
        return b""


def mac_of(session):
    """What makes a token one: the rest is alike in all of an owner's."""
    return session.rsplit(".", 1)[1]


def start_container(suite, owner_token, planted, label):
    """As sandbox does it; what it gets is planted, too."""
    boot = boot_id()
    grant = suite.bus("router", "grant", token=owner_token, boot_id=boot, host_key=suite.key("sandbox")["public"].decode())["grant"]
    planted[f"grant {label}"] = grant
    answer = suite.bus("sandbox", "materialise", grant=grant, boot_id=boot, page=0)
    at, files = 0, {}
    for file in answer["files"]:
        files[file["path"]] = answer["bytes"][at : at + file["size"]]
        at += file["size"]
    planted[f"gateway token {label}"] = files["gateway-token"]
    return files


def journey(suite, planted, allowed, tmp_path):
    """planted: name -> value; allowed: (place, name) where it is meant to be."""
    seller, buyer = new_owner(suite), Wallet()
    values = planted_values()
    names = iter(values.items())
    for (kind, name), value in names:
        planted[f"{kind}/{name}"] = value
        if name in ("groq", "discord", "quotes"):
            continue
        more = {"delivery": "file"} if (kind, name) == ("llm", "anthropic") else {}
        assert suite.put(seller.token, kind, name, value, **more).status == 204, name
    # by the command line, while others look
    suite.cli("login", "--keypair", seller.write(tmp_path / "seller.json"), "--asset", seller.asset)
    cli_token = json.loads((suite.state / "session.json").read_text())["token"]
    planted["session of the command line"] = mac_of(cli_token)
    allowed.add(("session.json", "session of the command line"))
    for kind, name in (("llm", "groq"), ("bot", "discord"), ("custom", "quotes")):
        suite.typed("secrets", "set", kind, name, value=values[kind, name])
    for i, provider in enumerate(("cohere", "nvidia", "zai")):
        planted[f"global/{provider}"] = token("sk-global-")
        suite.typed("vault", "global", "set", provider, value=planted[f"global/{provider}"])
    planted["session of the seller"] = mac_of(seller.token)
    allowed.add(("HTTP POST /v1/auth/verify -> 200", "session of the seller"))
    # errors that have the value in their hands
    refused = {name: token("refused-") for name in ("bad name", "bad kind", "not JSON", "field", "twice", "nul", "control", "origin", "no session", "too large",
                                                    "unknown provider", "path")}
    planted.update({f"refused/{name}": value for name, value in refused.items()})
    for path, body, more in (
        ("custom/BAD!", {"value": refused["bad name"]}, {}), ("secret/x", {"value": refused["bad kind"]}, {}),
        ("custom/x", '{"value": "' + refused["not JSON"], {}), ("custom/x", {"value": "x", "other": refused["field"]}, {}),
        ("custom/x", '{"value":"%s","value":"%s"}' % (refused["twice"], refused["twice"]), {}), ("custom/x", {"value": refused["nul"] + "\0"}, {}),
        ("llm/openai", {"value": refused["control"] + "\x01"}, {}), ("custom/x", {"value": refused["origin"]}, {"headers": {"Origin": "https://evil.example"}}),
        ("custom/x", {"value": refused["no session"]}, {"token": None}), ("custom/x", {"value": refused["too large"] * 5000}, {}),
        ("llm/no-such", {"value": refused["unknown provider"]}, {}), ("custom/a/b", {"value": refused["path"]}, {}),
    ):
        try:
            assert suite.http("PUT", f"/v1/secrets/{path}", body, **{"token": seller.token, **more}).status >= 400, path
        except OSError:
            pass  # cut off while it was still sent
    # the hot wallet, open and sealed
    made = suite.hot(seller, seller.token)
    planted["hot wallet"], planted["hot wallet's seed"] = b58decode(made.json["secret_key"], 64), b58decode(made.json["secret_key"], 64)[:32]
    allowed |= {("HTTP POST /v1/wallet/hot -> 201", "hot wallet"), ("HTTP POST /v1/wallet/hot -> 201", "hot wallet's seed")}
    assert suite.hot(seller, seller.token).status == 409
    second = new_owner(suite)
    public, private = nacl.bindings.crypto_box_keypair()
    sealed = suite.hot(second, second.token, recipient=base64.b64encode(public).decode())
    planted["sealed hot wallet"] = nacl.bindings.crypto_box_seal_open(base64.b64decode(sealed.json["sealed_secret_key"]), public, private)
    planted["session of the second"] = mac_of(second.token)
    allowed.add(("HTTP POST /v1/auth/verify -> 200", "session of the second"))
    # reads of every kind
    files = start_container(suite, seller.token, planted, "first")
    assert files["llm/ANTHROPIC_API_KEY"] == values["llm", "anthropic"].encode()
    for path in ("/v1/secrets", "/v1/llm/keys", "/v1/audit", "/v1/wallet/hot", "/v1/session", "/v1/sessions"):
        assert suite.http("GET", path, token=seller.token).status == 200, path
    suite.cli("secrets", "list")
    suite.cli("vault", "audit", "export")
    suite.cli("vault", "global", "list")
    suite.cli("vault", "status")
    suite.look_at_all()
    # restarts, gently and not; a record that does not open; a vault that is away
    suite.restart_vault()
    pid = suite.kill("secret-vault-1", signal.SIGKILL)
    wait_until("again", lambda: suite.pid("secret-vault-1") != pid, 10)
    suite.wait_vault()
    os.kill(suite.pid("secret-vault-1"), signal.SIGSTOP)
    try:
        planted["refused/away"] = token("refused-")
        assert suite.put(seller.token, "custom", "away", planted["refused/away"], timeout=20).status == 503
    finally:
        os.kill(suite.pid("secret-vault-1"), signal.SIGCONT)
    suite.wait_vault()
    planted["master key of before"] = base64.b64decode((suite.state / "keys/vault.key").read_bytes())
    suite.cli("vault", "rotate", "--new-key")
    planted["master key"] = base64.b64decode((suite.state / "keys/vault.key").read_bytes())
    allowed.add(("keys/vault.key", "master key"))
    start_container(suite, seller.token, planted, "second")
    suite.put(seller.token, "llm", "xai", token())
    suite.delete(seller.token, "llm", "deepseek")
    # the sale
    suite.look_at_all()
    suite.transfer(seller.asset, buyer)
    wait_until("the seller is out", lambda: suite.http("GET", "/v1/secrets", token=seller.token).status == 401, 5)
    buyers = token_of(suite, buyer, seller.asset)
    planted["session of the buyer"] = mac_of(buyers)
    allowed.add(("HTTP POST /v1/auth/verify -> 200", "session of the buyer"))
    planted["of the buyer"] = token()
    assert suite.put(buyers, "custom", "word", planted["of the buyer"]).status == 204
    wait_until("destroyed", lambda: suite.bus("operator", "state")["locked"] == 0, 20, 0.1)
    for path in (suite.state / "keys/curve").glob("*.key"):
        planted[f"CURVE key of {path.stem}"] = suite.key(path.stem)["secret"]
        allowed.add((f"keys/curve/{path.name}", f"CURVE key of {path.stem}"))
    suite.look_at_all()
    return values


def not_allowed(findings, allowed):
    """A place is allowed by its end (files) or by all of it."""
    return [f for f in findings if not any(f.secret == name and f.where.endswith(where) for where, name in allowed)]


def test_none_of_fifty_planted_secrets_is_where_it_must_not_be(tmp_path):
    planted, allowed = {}, set()
    with Watched() as suite:
        journey(suite, planted, allowed, tmp_path)
        names = {pathlib.Path(f"/proc/{pid}/comm").read_text().strip() for pid in family_of(suite.process.pid)}
        assert {"nginx", "redis-server"} <= names and sum("multiclaw" in n for n in names) >= 1, names
        assert suite.scanned
        scanner = suite.scanner(planted)
        found = scanner.findings()
        bad = not_allowed(found, allowed)
        assert not bad, "\n".join(map(str, bad))
        # the scanner did look, and the secrets are where they are meant to be
        assert len(planted) >= 50 and scanner.looked_at > 1 << 19
        assert {name for where, name in allowed if name in ("hot wallet", "session of the seller", "master key")} <= {f.secret for f in found}
        places = " ".join(where for _, where in scanner.places)
        for part in ("log/secret-vault-1.log", "log/router-1.log", "log/nginx.log", "redis/dump.rdb", "redis/aof", "vault/vault.db", "vault-marks",
                     "/proc/environ", "/proc/cmdline", "/metrics", "/readyz"):
            assert part in places, f"{part} was not looked at"
        suite.kill("secret-vault-1", signal.SIGKILL)  # what a crash leaves: WAL and all
        scanner = LeakScanner(planted)
        scanner.add_folder(suite.state)
        assert not not_allowed(scanner.findings(), allowed)


def test_a_vault_that_writes_a_value_to_its_log_is_caught(tmp_path):
    """The same check against a build that leaks on purpose: a check that cannot fail shows nothing."""
    build = tmp_path / "build"
    (build / "bin").mkdir(parents=True)
    for path in BIN.iterdir():
        (build / "bin" / path.name).symlink_to(LEAKY if path.name == "multiclaw-secret-vault" else path)
    planted = {"it": token("sk-ant-api03-"), "another": token()}
    with Watched(BUILD=str(build)) as suite:
        owner = new_owner(suite)
        assert suite.put(owner.token, "llm", "anthropic", planted["it"]).status == 204
        found = suite.scanner(planted).findings()
        assert {f.secret for f in found} == {"it"} and all(f.where.endswith("log/secret-vault-1.log") for f in found), found


# ---- passphrases


def test_a_passphrase_is_nowhere_but_in_its_owners_head():
    first, second = "a passphrase of many words " + token(), "another one of them " + token()
    wrong = "the wrong one of them " + token()
    suite = Watched(MULTICLAW_VAULT_KEY_SOURCE="passphrase")
    with suite:
        suite.typed("vault", "unseal", value=first)
        wait_until("open", lambda: suite.bus("operator", "state")["state"] == "open", 20, 0.1)
        owner = new_owner(suite)
        value = token()
        assert suite.put(owner.token, "custom", "x", value).status == 204
        suite.typed("vault", "rotate", value=second)
        suite.look_at_all()
        pid = suite.kill("secret-vault-1", signal.SIGKILL)
        wait_until("again", lambda: suite.pid("secret-vault-1") != pid, 10)
        wait_until("sealed", lambda: state_of(suite) == "sealed", 10, 0.1)
        done = suite.cli("vault", "unseal", input=wrong + "\n", check=False)
        assert done.returncode != 0
        suite.typed("vault", "unseal", value=second)
        wait_until("open", lambda: state_of(suite) == "open", 20, 0.1)
        assert ("custom", "x") in suite.listed(owner.token)
        suite.look_at_all()
        found = suite.scanner({"first": first, "second": second, "wrong": wrong, "value": value}).findings()
        assert found == []


def state_of(suite):
    try:
        return suite.bus("operator", "state")["state"]
    except (Refused, AssertionError):
        return ""


# ---- memory


def cores_below(folder, since):
    return [p for p in pathlib.Path(folder).rglob("*core*") if p.is_file() and p.stat().st_mtime >= since]


def test_no_core_is_written_and_nobody_of_its_own_user_reads_its_memory(own):
    v = own()
    if os.getuid() == 0:
        v.of_vault["MULTICLAW_USER"] = "nobody"
        v.prepare = lambda: give_to_nobody(v)
    v.start()
    owner = v.new_owner()
    v.put(owner.token, "custom", "x", "in memory " + token())
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
    since = time.time() - 1
    for sig in (signal.SIGSEGV, signal.SIGQUIT, signal.SIGABRT):
        v.stop_vault(sig=signal.SIGKILL)
        v.launch_vault(cores=True)
        v.wait_vault()
        v.files(owner.token)
        process = v.processes["secret-vault-1"]
        assert pathlib.Path(f"/proc/{process.pid}/limits").read_text().split("Max core file size")[1].split()[0] == "0"
        # not dumpable: what is its own in /proc belongs to root
        uid = int(next(line for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines() if line.startswith("Uid:")).split()[1])
        assert uid == (pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else os.getuid())
        assert os.stat(f"/proc/{process.pid}/mem").st_uid == 0
        as_it = ["setpriv", "--reuid", str(uid), "--clear-groups", "--"] if os.getuid() == 0 else []
        for name in ("mem", "environ", "maps"):
            got = subprocess.run([*as_it, "head", "-c", "1", f"/proc/{process.pid}/{name}"], capture_output=True)
            assert got.returncode != 0 and b"Permission denied" in got.stderr, (name, got)
        traced = subprocess.run([*as_it, "/usr/bin/python3", "-c", TRACE, str(process.pid)], capture_output=True, text=True)
        assert "Operation not permitted" in traced.stdout, traced
        process.send_signal(sig)
        assert process.wait(60) != 0
        assert cores_below(v.state, since) == [] and not (pathlib.Path(pattern).is_absolute() and cores_below(pathlib.Path(pattern).parent, since))
        v.launch_vault()
        v.wait_vault()
    # under the same conditions a program that takes no care does leave one
    if not pattern.startswith("|"):
        limit = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (limit[1], limit[1]))
        try:
            victim = subprocess.Popen(["sleep", "60"], cwd=v.state)
        finally:
            resource.setrlimit(resource.RLIMIT_CORE, limit)
        wait_until("it runs", lambda: pathlib.Path(f"/proc/{victim.pid}/cmdline").read_bytes().startswith(b"sleep"))
        victim.send_signal(signal.SIGSEGV)
        victim.wait(10)
        if not pathlib.Path(pattern).is_absolute() and limit[1] != 0:
            assert cores_below(v.state, since)


TRACE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
print(os.strerror(ctypes.get_errno()) if libc.ptrace(16, int(sys.argv[1]), 0, 0) else "attached")
"""


def give_to_nobody(v):
    """The vault changes to a user of its own after it is bound; what it writes has to be that user's."""
    user = pwd.getpwnam("nobody")
    v.state.chmod(0o755)
    for name in ("vault", "vault-marks"):
        (v.state / name).mkdir(mode=0o700, exist_ok=True)
        os.chown(v.state / name, user.pw_uid, user.pw_gid)
    for name in ("run", "keys", "keys/curve"):
        (v.state / name).chmod(0o755)
    for path in [v.state / "run/redis.sock", *(v.state / "run").glob("*.b*")]:
        path.chmod(0o777)
