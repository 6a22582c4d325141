"""What a snapshot costs: multiclaw-packer as warden starts it beside `tar | zstd | age` of the same tree, with secrets to look for and without; restores; its memory; what
an unchanged agent sends to the store; what a snapshot that is known costs a wake; a move to another host.

Needs root. Trees are read once before, so that both read from memory; each measurement ends when what it wrote is on the disk.
"""

import contextlib
import os
import pathlib
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from resource import RUSAGE_CHILDREN, getrusage

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
SMALL_MB = 200
LEVEL, THREADS = 3, 2  # of zstd, for both
ALNUM = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def token(rng, n, alphabet=ALNUM):
    return "".join(rng.choices(alphabet, k=n))


def secrets_of(rng):
    """20 files of /run/secrets as an agent with a few channels has them."""
    hexes = "0123456789abcdef"
    pem = "-----BEGIN PRIVATE KEY-----\n" + "\n".join(token(rng, 64, ALNUM + "+/") for _ in range(25)) + "\n-----END PRIVATE KEY-----\n"
    keys = [("sk-ant-api03-", 95), ("sk-proj-", 120), ("sk-", 48), ("AIza", 35), ("gsk_", 52), ("xai-", 80), ("r8_", 37), ("hf_", 34)]
    made = {f"llm/provider-{i}": prefix + token(rng, n) for i, (prefix, n) in enumerate(keys)}
    made |= {"bot/telegram": "8123456789:AA" + token(rng, 33), "bot/discord": f"{token(rng, 24)}.{token(rng, 6)}.{token(rng, 38)}",
             "bot/slack": "xoxb-" + token(rng, 12, "0123456789") + "-" + token(rng, 24), "bot/whatsapp": "EAA" + token(rng, 180)}
    made |= {"custom/github": "ghp_" + token(rng, 36), "custom/aws": token(rng, 40, ALNUM + "+/"), "custom/hex": token(rng, 64, hexes), "custom/deploy-key": pem,
             "custom/database": f"postgres://agent:{token(rng, 20)}@db.example.internal:5432/agent", "custom/password": token(rng, 12) + "%\"&",
             "gateway-token": token(rng, 64, hexes), "wallet/hot.json": str(list(rng.randbytes(64))).replace(" ", "")}
    assert len(made) == 20
    return {path: value.encode() for path, value in made.items()}


# ---- a tree such as agents have


class Tree:
    """Sessions, a workspace of the system's own files, databases, images, compressed logs and a few large files."""

    def __init__(self, root, size):
        from packer_parts import UID

        self.root, self.data, self.rng, self.bytes, self.files = root, root / "data", random.Random(size), 0, 0
        rng = self.rng
        words = [token(rng, rng.randrange(2, 11), "etaoinshrdlucmfwypvbgkjq") for _ in range(20000)]
        self.sentences = [" ".join(rng.choices(words, k=rng.randrange(5, 25))) for _ in range(30000)]
        for share, make in ((0.25, self.session), (0.2, self.image), (0.1, self.database), (0.05, self.log)):
            until = self.bytes + share * size
            while self.bytes < until:
                make(self.files)
        self.system(size, 0.75 * (size - self.bytes), 0, 1 << 20)
        self.system(size, size - self.bytes, 1 << 20, 1 << 28)
        subprocess.run(["chown", "-Rh", f"{UID}:{UID}", root], check=True)

    def keep(self, path, content):
        path = self.data / path
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_bytes(content)
        self.bytes, self.files = self.bytes + path.stat().st_size, self.files + 1

    def text(self, n):
        return "".join(f'{{"id":"{self.rng.getrandbits(64):016x}","at":{self.rng.randrange(10**12)},"role":"user","text":"{". ".join(self.rng.choices(self.sentences, k=4))}"}}\n'
                       for _ in range(n)).encode()

    def session(self, i):
        self.keep(f"sessions/{i}.jsonl", self.text(self.rng.randrange(50, 6000)))

    def image(self, i):
        self.keep(f"workspace/images/{i}.jpg", self.rng.randbytes(self.rng.randrange(50_000, 4_000_000)))

    def log(self, i):
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        self.keep(f"workspace/logs/{i}.gz", packer.compress(self.text(4000)) + packer.flush())

    def database(self, i):
        path = self.data / f"memory/{i}.sqlite"
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("create table chunks (id integer primary key, text text, vector blob)")
            db.executemany("insert into chunks (text, vector) values (?, ?)",
                           ((". ".join(self.rng.choices(self.sentences, k=5)), self.rng.randbytes(1536)) for _ in range(self.rng.randrange(500, 8000))))
            db.commit()
        self.keep(path, None)

    def system(self, size, want, least, most):
        """Files of this machine, from least to most bytes; again from the first one if they are too few. Not the manuals and changelogs that Debian compresses."""
        until = self.bytes + want
        for again in range(100):
            for folder in ("/usr/lib/python3", "/usr/lib/node_modules", "/usr/share", "/usr/include", "/usr/lib"):
                for path in sorted(pathlib.Path(folder).rglob("*")):
                    if self.bytes >= until:
                        return
                    with contextlib.suppress(OSError):
                        if path.suffix != ".gz" and path.is_file() and not path.is_symlink() and least <= path.stat().st_size < most:
                            self.keep(f"workspace/{again}{path}", path.read_bytes())

    def warm(self):
        subprocess.run(["sh", "-c", 'tar -c -C "$1" data | cat >/dev/null', "sh", self.root], check=True)


# ---- one measurement


class Taken:
    """What it took, from its first process to the disk."""

    def __init__(self, seconds, cpu, peak_mb=0.0):
        self.seconds, self.cpu, self.peak_mb = seconds, cpu, peak_mb


def cpu_of_children():
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def take(run, synced):
    """run() starts processes, waits for all of them and returns the peak of the one that counts."""
    os.sync()
    before, began = cpu_of_children(), time.monotonic()
    peak = run()
    subprocess.run(["sync", "--file-system", synced], check=True)
    return Taken(time.monotonic() - began, cpu_of_children() - before, peak or 0.0)


def in_turns(measures, rounds):
    """{name: [Taken]}; who is first in one round is last in the next."""
    took = {name: [] for name in measures}
    for number in range(rounds):
        names = list(measures) if number % 2 == 0 else list(reversed(measures))
        for name in names:
            took[name].append(measures[name]())
    return took


def ended_well(run, *others):
    import packer_parts as packer

    report = run.wait()
    for process in others:
        assert process.wait() == 0
    assert report and report.outcome == packer.MADE, report and (report.outcome, report.path, report.text, report.kind_of_secret)
    return report


class Ours:
    """The packer, its pipe's other end held by cat, whose time counts as its own."""

    def __init__(self, folder, secrets):
        self.folder, self.secrets = folder, secrets

    def pack(self, tree, archive, secrets):
        import packer_parts as packer

        reads, writes = os.pipe()
        with open(archive, "wb") as to:
            cat = subprocess.Popen(["cat"], stdin=reads, stdout=to)
        os.close(reads)
        run = packer.Run(packer.order_of(packer.Name(), False, ["data"], level=LEVEL), tree.root, writes, packer.secret_files(secrets))
        ended_well(run, cat)
        return run.peak_kb / 1024

    def unpack(self, archive, to):
        import packer_parts as packer

        reads, writes = os.pipe()
        cat = subprocess.Popen(["cat", archive], stdout=writes)
        os.close(writes)
        run = packer.Run(packer.order_of(packer.Name(), True), to, reads)
        ended_well(run, cat)
        return run.peak_kb / 1024


class Peer:
    """Debian's tar, zstd and age, with a key for one recipient."""

    def __init__(self, folder):
        self.key = folder / "age.key"
        subprocess.run(["age-keygen", "-o", self.key], check=True, capture_output=True)
        self.recipient = subprocess.run(["age-keygen", "-y", self.key], check=True, capture_output=True, text=True).stdout.strip()

    def sh(self, script, *words):
        subprocess.run(["bash", "-ec", f"set -o pipefail; {script}", "bash", *map(str, words)], check=True)

    def pack(self, tree, archive):
        self.sh(f'tar -c -C "$1" data | zstd -q -{LEVEL} -T{THREADS} | age -r "$2" >"$3"', tree.root, self.recipient, archive)

    def unpack(self, archive, to):
        self.sh('age -d -i "$1" <"$2" | zstd -q -d | tar -x -C "$3"', self.key, archive, to)


# ---- rows


def mb(n):
    return f"{n:,.0f} MB/s"


def ratio_of(ours, theirs, key):
    """How much better ours is: of each round, median, least, most."""
    each = [key(b) / key(a) for a, b in zip(ours, theirs)]
    return statistics.median(each), min(each), max(each)


def show_rates(bench, tree, took, what, ours, theirs, against, note):
    size = tree.bytes
    middle = lambda name, key: statistics.median(key(t) for t in took[name])  # noqa: E731
    wall, cpu = (lambda t: t.seconds), (lambda t: t.cpu)
    bench.row(what, mb(size / 1e6 / middle(ours, wall)), against, mb(size / 1e6 / middle(theirs, wall)), ratio_of(took[ours], took[theirs], wall), note)
    bench.row("  CPU time of a GB", f"{middle(ours, cpu) / size * 1e9:.2f} s", "", f"{middle(theirs, cpu) / size * 1e9:.2f} s",
              ratio_of(took[ours], took[theirs], cpu), "of all its processes; above 1x: ours takes less")


def fresh(folder):
    from packer_parts import UID

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.chown(folder, UID, UID)
    return folder


def measure_packs(folder, tree, secrets, rounds):
    ours, peer = Ours(folder, secrets), Peer(folder)
    packs = {
        "ours": lambda: take(lambda: ours.pack(tree, folder / "ours", secrets), folder / "ours"),
        "no secrets": lambda: take(lambda: ours.pack(tree, folder / "no secrets", {}), folder / "no secrets"),
        "peer": lambda: take(lambda: peer.pack(tree, folder / "peer"), folder / "peer"),
    }
    restores = {
        "ours": lambda: take(lambda: ours.unpack(folder / "ours", back), back),
        "peer": lambda: take(lambda: peer.unpack(folder / "peer", back), back),
    }
    back = folder / "back"
    tree.warm()
    packed = in_turns(packs, rounds)
    restored = in_turns({name: (lambda run=run: (fresh(back), run())[1]) for name, run in restores.items()}, rounds)
    shutil.rmtree(back)
    return packed, restored


def bench_archives(bench):
    rounds, size = bench.ROUNDS, float(os.environ.get("BENCH_SNAPSHOT_GB", "1")) * 1e9
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mc-bench-"))
    folder.chmod(0o711)
    try:
        secrets = secrets_of(random.Random(20))
        small, tree = (Tree(folder / name, n) for name, n in (("small", SMALL_MB * 1e6), ("big", size)))
        show_archives(bench, folder, tree, *measure_packs(folder, tree, secrets, rounds))
        show_memory(bench, folder, small, tree, secrets)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def show_archives(bench, folder, tree, packed, restored):
    stored = {name: (folder / name).stat().st_size / 1e6 for name in ("ours", "peer")}
    show_rates(bench, tree, packed, f"snapshot of {tree.bytes / 1e9:.1f} GB, scanned", "ours", "peer", f"tar c | zstd -{LEVEL} | age, which looks for nothing",
               f"20 secrets, {tree.files:,} files; zstd has {THREADS} threads in both; aim 1x")
    bench.row("  bytes stored", f"{stored['ours']:,.0f} MB", "", f"{stored['peer']:,.0f} MB", (stored["peer"] / stored["ours"],) * 3, "")
    show_rates(bench, tree, packed, "  the same, scanned", "ours", "no secrets", "ours with no secret to look for", "aim: at least 0.8x")
    show_rates(bench, tree, restored, "restore", "ours", "peer", "age -d | zstd -d | tar x", "aim 1x")


def show_memory(bench, folder, small, tree, secrets):
    ours = Ours(folder, secrets)
    peaks = {}
    for name, each in (("small", small), ("big", tree)):
        peaks[name] = ours.pack(each, folder / "archive", secrets), ours.unpack(folder / "archive", fresh(folder / "back"))
    for i, what in enumerate(("snapshot", "restore")):
        a, b = peaks["big"][i], peaks["small"][i]
        bench.row(f"  peak memory (RSS), {what}", f"{a:.0f} MB", f"the same of {SMALL_MB} MB", f"{b:.0f} MB", (a / b,) * 3, "aim: flat")


# ---- the suite


def store_bytes(suite):
    return sum(p.stat().st_size for p in (suite.state / "store").rglob("*") if p.is_file())


def until_quiet(bench, agent):
    """Asleep, and saved if there is something to save."""
    agent.wait("sleeping", bench.wait_until)
    quiet = lambda: agent.suite.http("GET", "/v1/agent/snapshots", token=agent.token).json["under_way"] is None  # noqa: E731
    bench.wait_until("nothing is under way", quiet, 60, every=0.02)
    time.sleep(0.3)  # the kernel takes apart the one before


def remember(agent, text):
    """Kept in the agent's notes, which are saved."""
    status = agent.suite.http("PUT", "/memory", text.encode(), host=agent.host, headers={
        "Cookie": f"__Host-multiclaw-agent={agent.session}", "Origin": f"http://{agent.host}", "Content-Type": "text/plain"}).status
    assert status == 204, status


def bench_unchanged(bench):
    from bench_agents import EDGE, Agent, pick

    rounds = int(os.environ.get("BENCH_SNAPSHOTS", "20"))
    with bench.Suite(containers=True, slot_ms=200, **EDGE) as suite:
        agent = Agent(suite, suite.wallet("alice"), suite.asset_of("alice"))
        agent.wake()
        made, unchanged, sent = [], [], 0
        for number in range(rounds):
            remember(agent, f"this is note {number}. " * 2000)
            for status, ms in ((201, made), (200, unchanged)):
                before, began = store_bytes(suite), time.monotonic()
                answer = suite.http("POST", "/v1/agent/snapshots", {}, token=agent.token, timeout=30)
                ms.append((time.monotonic() - began) * 1000)
                assert answer.status == status, (answer.status, answer.body)
                sent += store_bytes(suite) - before if status == 200 else 0
        bench.row("snapshot of a small agent, p50", f"{pick(made, 0.5):.0f} ms", "", "", None, f"on demand, through nginx, {rounds} times; 40 kB in one file")
        bench.row("  of an unchanged one, p50", f"{pick(unchanged, 0.5):.0f} ms", "p99", f"{pick(unchanged, 0.99):.0f} ms", None, "")
        bench.row("  bytes of it that reach the store", f"{sent:,}", "aim", "0", None, "size of the store's folder, before and after")


def bench_known(bench):
    """Wakes of an agent that has a snapshot and of one that has none; both use the volume that is there."""
    from bench_agents import EDGE, Agent, pick

    rounds = int(os.environ.get("BENCH_STARTS", "20"))
    with bench.Suite(containers=True, MULTICLAW_SANDBOX_IDLE_S=1, **EDGE) as suite:
        agents = {"none": Agent(suite, suite.wallet("bob"), suite.asset_of("bob")), "known": Agent(suite, suite.wallet("alice"), suite.asset_of("alice"))}
        ms = {name: [] for name in agents}
        for name, agent in agents.items():
            agent.wake()
            if name == "known":
                remember(agent, "keep this")
            until_quiet(bench, agent)
        for number in range(rounds):
            for name in list(agents) if number % 2 else list(reversed(agents)):
                ms[name].append(agents[name].wake()[0])
                until_quiet(bench, agents[name])
        known = {name: len(agent.suite.http("GET", "/v1/agent/snapshots", token=agent.token).json["snapshots"]) for name, agent in agents.items()}
        assert known == {"none": 0, "known": 1}, known
        for p, text in ((0.5, "p50"), (0.99, "p99")):
            a, b = (pick(ms[name], p) for name in ("known", "none"))
            bench.row(f"wake, a snapshot is known, {text}" if p == 0.5 else f"  {text}", f"{a:.0f} ms", "wake of one that has none", f"{b:.0f} ms", (a / b,) * 3 if p == 0.5 else None,
                      f"{rounds} in turns, to the first byte through nginx; the volume is current; aim 1x" if p == 0.5 else "")


def bench_move(bench):
    """Between two hosts with one store; the edge is left out."""
    from bench_agents import pick
    from sandbox_parts import Hosts

    rounds = int(os.environ.get("BENCH_MOVES", "10"))
    hosts = Hosts(sandboxes=2, prefix="bm", MULTICLAW_SANDBOX_FORMER_KEEP_S=1)
    ms = {"move": [], "restored": [], "current": []}
    try:
        owner = hosts.start().new_owner()
        hosts.up(owner).remember(owner, "x" * 60000)
        for number in range(rounds):
            here, there = (1, 2) if number % 2 == 0 else (2, 1)
            began = time.monotonic()
            hosts.move(owner, f"sandbox-{there}", replica=here)
            ms["move"].append((time.monotonic() - began) * 1000)
            for name in ("restored", "current"):
                time.sleep(0.3)
                began = time.monotonic()
                hosts.up(owner, replica=there)
                ms[name].append((time.monotonic() - began) * 1000)
                assert len(hosts.memory(owner, replica=there)) == 60000
                if name == "restored":
                    hosts.down(owner, replica=there)
            hosts.remember(owner, f"{number % 10}" * 60000, replica=there)
    finally:
        hosts.stop()
    each = [a / b for a, b in zip(ms["restored"], ms["current"])]
    bench.row("start on another host, restored, p50", f"{pick(ms['restored'], 0.5):.0f} ms", "start of a volume that is current", f"{pick(ms['current'], 0.5):.0f} ms",
              (statistics.median(each), min(each), max(each)), f"{rounds} moves; a new volume, 60 kB; until it runs")
    bench.row("  stopped, saved, placed there, p50", f"{pick(ms['move'], 0.5):.0f} ms", "", "", None, "asked every 100 ms")


def bench_snapshots(bench):
    if os.geteuid() != 0:
        print("snapshots are not measured: the packer is started by root")
        return
    from conftest import why_no_containers

    sections = [bench_archives]
    if why := why_no_containers():
        print(f"agents' snapshots are not measured: {why}")
    else:
        sections += [bench_unchanged, bench_known, bench_move]
    for section in sections:
        if os.environ.get("BENCH_SNAPSHOTS_ONLY", section.__name__) == section.__name__:
            section(bench)
