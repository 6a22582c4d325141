"""Sign-ins, sales and kill -9 all at once, and a judge who compares what was let in with what happened on the chain, and when.

Every sale is to a wallet that owned nothing before: a session belongs to one period of ownership and must end with it. Times are this machine's wall clock, which
is also that of Redis (an event's id). An asset's event is the moment from which a sale is enforced; from then on I2 counts.
"""

import base64
import bisect
import collections
import contextlib
import http.client
import json
import os
import random
import signal
import socket
import threading
import time

from redis import RedisError

from suite import Wallet, b58encode, wait_until

BOUND_S = 2.0  # I2: from the event on, whatever was killed
SWEEP_S = 16.5  # the longest from one sweep to the next
FOUND_S = 30.0  # from confirmed to the event, when the sweep that would find it is killed, and the next has to wait for a restart
PROBES_S = (0.05, 0.3, 1.0, 2.1, 5.0, 20.0)  # after the end


def percentiles(values):
    ordered = sorted(values)
    return {p: ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))] for p in (50, 90, 99, 100)} if ordered else {}


class Line:
    """One HTTP connection that is kept, to nginx or to a router's own socket."""

    def __init__(self, suite, socket_path=None, timeout_s=5):
        self.suite, self.path, self.timeout_s, self.connection = suite, socket_path, timeout_s, None

    def connect(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.suite.port, timeout=self.timeout_s)
        if self.path:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(self.timeout_s)
            connection.sock.connect(str(self.path))
        return connection

    def send(self, method, path, body, headers):
        """(answer, its body), or (None, b"")."""
        try:
            self.connection = self.connection or self.connect()
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return None, b""
        if answer.will_close:
            self.close()
        return answer, data

    def ask(self, method, path, body, token=None):
        """(status, JSON, token that was set) of the API; status 0: no answer."""
        headers = {"Host": self.suite.authority, "Content-Type": "application/json", **({"X-Real-IP": "127.0.0.1"} if self.path else {}),
                   **({"Cookie": f"__Host-multiclaw={token}"} if token else {})}
        answer, data = self.send(method, path, json.dumps(body), headers)
        if not answer:
            return 0, None, None
        made = (answer.headers.get("Set-Cookie") or "").split(";")[0].partition("=")
        return answer.status, json.loads(data) if data[:1] == b"{" else None, made[2] if made[0] == "__Host-multiclaw" else None

    def decided(self, agent, inside):
        """What is said of a request to this agent with this session of its origin; 0: nothing."""
        host, cookie = f"{agent}.{self.suite.authority}", {"Cookie": f"__Host-multiclaw-agent={inside}"}
        if self.path:
            cookie.update({"X-Original-Host": host, "X-Original-Method": "GET", "X-Original-URI": "/"})
        answer, _ = self.send("GET", "/authz" if self.path else "/", None, {"Host": "router" if self.path else host, **cookie})
        return int(answer.headers.get("X-Multiclaw-Status") or answer.status) if answer else 0

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


class Period:
    """An asset in one wallet's hands."""

    def __init__(self, asset, wallet):
        self.asset, self.wallet = asset, wallet
        self.sent_at = self.confirmed_at = None  # of the sale that ended it
        self.enforced_at = None  # by the judge
        self.newest = None  # session


class Session:
    def __init__(self, period, token, agent, asked_at):
        self.period, self.token, self.agent, self.asked_at = period, token, agent, asked_at
        self.inside = None  # the session of the agent's origin that belongs to it
        self.logged_out_at = None
        self.is_leaving = False  # it is signed out, and whether that was done is known only if logged_out_at says so
        self.seen = []  # (asked at, answered at, point, status)

    def __repr__(self):
        return json.loads(base64.urlsafe_b64decode(self.token.split(".")[1] + "=="))["jti"] if "." in self.token else self.token


class Kill:
    def __init__(self, name, at, alone):
        self.name, self.at, self.alone = name, at, alone
        self.ready_s, self.again = None, False


class Judge:
    """Of lists alone, so that it can be judged itself."""

    def __init__(self, periods, sessions, refused, events):
        """refused: (asked at, period) of sign-ins that were let in. events: asset -> times."""
        self.wrong, self.late, self.revived, self.shut_out, self.lost, self.found_s, self.stale_s = [], [], [], [], [], [], []
        self.strangers = [(asked_at, period) for asked_at, period in refused if period.confirmed_at and asked_at > period.confirmed_at]
        watched = {session.period for session in sessions}
        for period in periods:
            if period.confirmed_at:
                times = events.get(period.asset, [])
                at = bisect.bisect_left(times, period.sent_at)
                period.enforced_at = times[at] if at < len(times) else None
                if period in watched:
                    self.enforced(period)
        for session in sessions:
            self.session(session)

    def enforced(self, period):
        if not period.enforced_at:
            self.lost.append(period)
        else:
            took = max(0.0, period.enforced_at - period.confirmed_at)
            self.found_s.append(took)
            if took > FOUND_S:
                self.late.append((period, took))

    def session(self, session):
        period, refused_at = session.period, None
        ends = [t for t in (period.enforced_at, session.logged_out_at) if t]
        ended_at = min(ends) if ends else None
        for asked_at, answered_at, point, status in sorted(session.seen):
            if status == 200 and ended_at and asked_at > ended_at:
                self.stale_s.append(asked_at - ended_at)
                if asked_at > ended_at + BOUND_S:
                    self.wrong.append((session, point, asked_at - ended_at))
            if status == 200 and refused_at and asked_at > refused_at + BOUND_S:
                self.revived.append((session, point, asked_at - refused_at))
            if status == 401:
                refused_at = refused_at or answered_at
                if not session.is_leaving and (not period.sent_at or answered_at < period.sent_at):
                    self.shut_out.append((session, point))

    def assert_promise(self):
        assert not self.wrong, ("allowed after its end was enforced", self.wrong[:5], len(self.wrong))
        assert not self.strangers, ("a former owner was let in", self.strangers[:5])
        assert not self.lost, ("a sale without an event", len(self.lost))
        assert not self.late, ("a sale found too late", [took for _, took in self.late])
        assert not self.revived, ("refused, and then allowed again", self.revived[:5])
        assert not self.shut_out, ("ended without a reason", self.shut_out[:5], len(self.shut_out))


class Storm:
    """sign_ins, transfers: each second. victims: names of deploy/run's processes."""

    def __init__(self, suite, victims, seed, assets=200, sign_ins=200, transfers=20):
        self.suite, self.victims, self.random = suite, victims, random.Random(seed)
        self.sign_ins, self.transfers = sign_ins, transfers
        self.points = {"edge": None, **{name: suite.state / f"run/{name}.authz" for name in victims if name.startswith("router-")}}
        self.stop, self.lock, self.threads = threading.Event(), threading.Lock(), []
        self.current, self.periods, self.sessions, self.let_in, self.kills = [], [], [], [], []
        self.statuses, self.sold, self.due, self.failures = collections.Counter(), 0, [], []
        self.transfers_at, self.read_to = collections.defaultdict(list), "-"  # asset -> times of its events
        for _ in range(assets):
            self.new_period(self.mint(), Wallet(), first=True)

    def mint(self):
        return b58encode(os.urandom(32))

    def new_period(self, asset, wallet, first=False):
        if first:
            self.suite.rpc("devchain_mint", {"asset": asset, "owner": wallet.address, "collection": self.suite.collection, "name": "an agent"})
        period = Period(asset, wallet)
        self.periods.append(period)
        self.current.append(period)
        return period

    # ---- what goes on meanwhile

    def paced(self, each_s, step):
        """Calls step(random, line to nginx) as often as that, in a thread of its own; what it cannot keep up with is left out."""
        def run(generator):
            line, at = Line(self.suite), time.monotonic() + generator.random() * each_s
            while not self.stop.is_set():
                time.sleep(max(0.0, at - time.monotonic()))
                at = max(at + each_s, time.monotonic() - each_s)
                try:
                    step(generator, line)
                except Exception as e:  # a test of others must not die in silence
                    self.failures.append(e)
                    raise
            line.close()

        self.threads.append(threading.Thread(target=run, args=(random.Random(self.random.random()),)))

    def sign_in(self, generator, line):
        """By the owner; now and then by who has sold it."""
        with self.lock:
            period = generator.choice(self.current)
            former = [p for p in self.periods[-200:] if p.confirmed_at] if generator.random() < 0.05 else []
            period = generator.choice(former) if former else period
        status, issued, _ = line.ask("POST", "/v1/auth/challenge", {"wallet": period.wallet.address, "asset": period.asset})
        if status != 200:
            self.statuses["challenge", status, (issued or {}).get("code")] += 1
            return
        asked_at = time.time()
        body = {"nonce": issued["nonce"], "wallet": period.wallet.address, "signature": b58encode(period.wallet.sign(issued["message"].encode()))}
        status, said, token = line.ask("POST", "/v1/auth/verify", body)
        self.statuses["former" if former else "verify", status] += 1
        if status != 200:
            return
        session = Session(period, token, said["agent_id"], asked_at)
        session.is_leaving = generator.random() < 0.02
        with self.lock:
            self.let_in.append((asked_at, period))
            self.sessions.append(session)
            if not session.is_leaving:
                period.newest = session
        if session.is_leaving and self.enter(session):
            self.look_everywhere(session)
            if line.ask("POST", "/v1/auth/logout", {}, session.token)[0] == 204:
                session.logged_out_at = time.time()
                self.watch(session, generator)

    def enter(self, session):
        if not session.inside:
            with contextlib.suppress(OSError, http.client.HTTPException, AssertionError, ValueError):
                session.inside = self.suite.enter(session.token)
        return session.inside

    def look_everywhere(self, session):
        """So that each router has it in its cache."""
        for point in self.points:
            self.probe(session, point)

    def sell(self, generator, line):
        with self.lock:
            period = self.current.pop(generator.randrange(len(self.current)))
        session, buyer = period.newest, Wallet()
        if session and self.enter(session):
            self.look_everywhere(session)
        period.sent_at = time.time()
        self.suite.rpc("devchain_transfer", {"asset": period.asset, "to": buyer.address, "wait": "confirmed"})
        confirmed_at = time.time()
        with self.lock:
            period.confirmed_at = confirmed_at
            self.new_period(period.asset, buyer)
            self.sold += 1
        if session and session.inside:
            self.watch(session, generator)

    def watch(self, session, generator):
        now = time.monotonic()
        with self.lock:
            for after in PROBES_S:
                for point in self.points:
                    bisect.insort(self.due, (now + after * generator.uniform(1, 1.1), generator.random(), session, point))

    def look(self, generator, line):
        """What is due; else a session that should be good."""
        while not self.stop.is_set():
            with self.lock:
                if not self.due or self.due[0][0] > time.monotonic():
                    break
                _, _, session, point = self.due.pop(0)
            self.probe(session, point)
        with self.lock:
            session = generator.choice(self.current).newest
        if session and (session.inside or generator.random() < 0.2 and self.enter(session)):
            self.probe(session, generator.choice(list(self.points)))

    def probe(self, session, point):
        line = self.lines.__dict__.setdefault(point, Line(self.suite, self.points[point]))
        asked_at = time.time()
        status = line.decided(session.agent, session.inside)
        session.seen.append((asked_at, time.time(), point, status))
        self.statuses["probe", status] += 1
        return status

    def read_events(self, generator=None, line=None):
        """Redis keeps the newest 250,000 only, and each sign-in makes one, too."""
        with contextlib.suppress(RedisError):  # just killed
            for key, fields in self.suite.redis().xrange("mc:events", self.read_to):
                self.read_to = f"({key}"
                if fields["k"] == "transfer":
                    self.transfers_at[fields["a"]].append(int(key.split("-")[0]) / 1000)

    # ---- kills

    def kill(self, name, alone=False):
        try:
            pid = self.suite.pid(name)
            os.kill(pid, signal.SIGKILL)
        except (OSError, ValueError):
            return False  # just dead
        kill = Kill(name, time.time(), alone)
        for earlier in self.kills:
            earlier.again |= earlier.name == name and earlier.ready_s is None
        self.kills.append(kill)
        watcher = threading.Thread(target=self.watch_ready, args=(kill, pid))
        watcher.start()
        self.watchers.append(watcher)
        return True

    def is_ready(self, name, old_pid):
        if self.suite.pid(name) == old_pid:
            return False
        if name == "nginx":
            return Line(self.suite).decided("nobody", "x") > 0
        if name == "redis":
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
                s.connect(str(self.suite.state / "run/redis.sock"))
                s.sendall(b"PING\r\n")
                return s.recv(8)[:1] in b"+-" and True
        return self.suite.ops(name, "/readyz").split()[1] == "200"

    def watch_ready(self, kill, old_pid):
        while not kill.again and time.time() < kill.at + 60:
            with contextlib.suppress(OSError, ValueError, IndexError):
                if self.is_ready(kill.name, old_pid):
                    kill.ready_s = time.time() - kill.at
                    return
            time.sleep(0.004)

    def kill_at_random(self, kills, mean_s):
        until = len(self.kills) + kills
        while len(self.kills) < until and not self.failures:
            time.sleep(self.random.uniform(0.05, 2 * mean_s - 0.05))
            for name in self.random.sample(self.victims, self.random.choice((1, 1, 1, 1, 1, 1, 1, 1, 2, 4))):
                self.kill(name)

    def kill_one_by_one(self, kills):
        """Daemons alone, each when the one before is well: what is measured is their own start."""
        daemons = [name for name in self.victims if name not in ("redis", "nginx")]
        for n in range(kills):
            time.sleep(self.random.uniform(0.3, 0.8))
            if self.kill(daemons[n % len(daemons)], alone=True):
                self.watchers[-1].join()

    def run(self, kills, alone, mean_s):
        self.lines, self.watchers = threading.local(), []
        signers = 24
        for _ in range(signers):
            self.paced(signers / self.sign_ins, self.sign_in)
        for _ in range(10):
            self.paced(10 / self.transfers, self.sell)
        for _ in range(6):
            self.paced(6 / 60, self.look)
        self.paced(10, self.read_events)
        self.began_at = time.time()
        for thread in self.threads:
            thread.start()
        try:
            time.sleep(1)
            self.kill_one_by_one(alone)
            self.kill_at_random(kills, mean_s)
            time.sleep(1)
        finally:
            self.lasted_s = time.time() - self.began_at
            self.stop.set()
            for thread in self.threads + self.watchers:
                thread.join(70)
        assert not self.failures, self.failures
        return self

    # ---- the end

    def settle(self):
        """Every sale is found and every replica has handled all of it; then each session is asked for once more, at every point, for the judge."""
        redis = self.suite.redis()
        self.suite.wait_ready(30)
        told = lambda name: (redis.hget("mc:replicas", name) or "- - - - 0-0 -").split()[4]
        sold = {p.asset: p for p in self.periods if p.confirmed_at and p.newest}
        wait_until("every sale is in a record", lambda: all(redis.hget(f"mc:owner:{a}", "owner") != p.wallet.address for a, p in sold.items()), FOUND_S, 0.2)
        newest = redis.xrevrange("mc:events", count=1)[0][0]
        number = lambda text: tuple(map(int, (text or "0-0").split("-")))
        for name in self.points.keys() - {"edge"}:
            wait_until(f"{name} has handled all", lambda: number(told(name)) >= number(newest), 5)
        time.sleep(BOUND_S)
        for session in [s for s in self.sessions if s.inside]:
            for point in self.points:
                wait_until("a decision", lambda: self.probe(session, point) in (200, 401), 10)

    def judge(self):
        self.read_events()
        return Judge(self.periods, self.sessions, self.let_in, self.transfers_at)

    def alone_s(self):
        """How long each that was killed alone took to be ready again."""
        return [kill.ready_s for kill in self.kills if kill.alone and kill.ready_s is not None]

    def report(self, judge):
        grants = self.statuses["verify", 200]
        yield f"{len(self.kills)} kills in {self.lasted_s:.0f} s; {grants / self.lasted_s:.0f} sign-ins/s let in, {self.sold / self.lasted_s:.1f} sales/s"
        yield f"answers: {dict(sorted(self.statuses.items(), key=str))}"
        yield f"sales of watched assets {len(judge.found_s)}; from confirmed to the event, s: {show(judge.found_s)}; later than a sweep: {sum(s > SWEEP_S for s in judge.found_s)}"
        yield f"allows asked for after the event (bound {BOUND_S:.0f} s): {len(judge.stale_s)}, s: {show(judge.stale_s)}"
        yield f"wrong allows {len(judge.wrong)}, former owners let in {len(judge.strangers)}, lost {len(judge.lost)}, late {len(judge.late)}, " \
              f"revived {len(judge.revived)}, shut out {len(judge.shut_out)}"
        groups = collections.defaultdict(list)
        for kill in self.kills:
            if kill.ready_s is not None:
                groups["alone" if kill.alone else "beside others", kill.name.rsplit("-", 1)[0]].append(kill.ready_s)
                groups["alone" if kill.alone else "beside others", "whatever it was"].append(kill.ready_s)
        for (how, name), times in sorted(groups.items()):
            yield f"ready again, killed {how}, {name}: {len(times)}, ms: {show(times, 1000, 0)}"
        yield f"killed again before it was ready {sum(k.again for k in self.kills)}, never ready {[k.name for k in self.kills if k.ready_s is None and not k.again]}"


def show(values, factor=1, digits=3):
    return " ".join(f"p{p} {value * factor:.{digits}f}" for p, value in percentiles(values).items())
