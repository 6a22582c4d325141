"""What multiclaw-warden says to multiclaw-sandbox (proto/warden.h), without containers: a warden that does what a test wants, lies and death included."""

import array
import ctypes
import hashlib
import os
import pathlib
import select
import socket
import threading
import time
from ctypes import c_bool, c_char, c_int32, c_uint8, c_uint16, c_uint32, c_uint64

VERSION = 4
NUMBERS = {"ALIVE": 1, "START": 2, "STOP": 3, "KILL": 4, "RESET": 5, "COUNT": 6, "EXEC": 7, "ALLOW": 8, "ERASE": 9,
           "SNAPSHOT": 10, "RELEASE": 11,
           "FOUND": 101, "READY": 102, "STARTED": 103, "FAILED": 104, "ENDED": 105, "GONE": 106, "COUNTED": 107, "EXECED": 108, "ERASED": 109,
           "STARTING": 110, "ALLOWED": 111, "SAVING": 112, "SNAPSHOTTED": 113, "RESETTED": 114}
ANY, PRESENT, FILLED = range(3)
FAILURE_OTHER, FAILURE_NO_VOLUME, FAILURE_ARCHIVE, FAILURE_VOLUME = range(4)
MADE, UNCHANGED, SECRET_FOUND, TOO_LARGE, NOT_SAVED = range(5)
NAMES = {number: name for name, number in NUMBERS.items()}


def struct(name, *fields):
    return type(name, (ctypes.Structure,), {"_fields_": [(n, t) for n, t in fields]})


Limits = struct("Limits", *((n, c_uint64) for n in ("memory_bytes", "pids", "cpu_percent", "volume_bytes", "tmp_bytes", "connections",
                                                    "io_bytes_per_s")))
Archive = struct("Archive", ("key", c_uint8 * 32), ("number", c_uint64), ("boot", c_char * 33), ("wallet", c_char * 45), ("period", c_uint64))
Start = struct("Start", ("image", c_char * 65), ("wallet", c_char * 45), ("period", c_uint64), ("volume_key", c_uint8 * 32), ("limits", Limits),
               ("ready_ms", c_uint64), ("is_narrowed", c_bool), ("kind", c_char * 16), ("nranges", c_uint32),
               ("range", struct("Range", ("address", c_uint8 * 4), ("bits", c_uint32)) * 100), ("volume", c_uint32), ("archive", Archive))
Stop = struct("Stop", ("grace_ms", c_uint64), ("hold_ms", c_uint64))
Snapshot = struct("Snapshot", ("archive", Archive), ("bytes_max", c_uint64), ("fingerprint", c_uint8 * 32), ("level", c_uint8),
                  ("must_freeze", c_bool), ("roots", c_uint8 * 4096), ("excluded", c_uint8 * 4096))
Saving = struct("Saving", ("bytes", c_uint64), ("total_bytes", c_uint64))
Snapshotted = struct("Snapshotted", ("outcome", c_uint32), ("bytes", c_uint64), ("files", c_uint64), ("stored_bytes", c_uint64), ("unsettled", c_uint64),
                     ("skipped", c_uint64), ("digest", c_uint8 * 32), ("fingerprint", c_uint8 * 32), ("path", c_char * 1024), ("kind", c_char * 96),
                     ("text", c_char * 160))
Failed = struct("Failed", ("text", c_char * 160), ("failure", c_uint32))
Exec = struct("Exec", ("len", c_uint32), ("text", c_char * 8192), ("timeout_ms", c_uint64))
Allow = struct("Allow", ("len", c_uint32), ("address", c_uint8 * 4 * 32), ("ttl_s", c_uint32), ("ticket", c_uint64))
Erase = struct("Erase", ("wallet", c_char * 45), ("period", c_uint64))
Found = struct("Found", ("address", c_uint8 * 4), ("port", c_uint16), ("is_ending", c_bool), ("started_ms", c_uint64), ("image", c_char * 65),
               ("wallet", c_char * 45), ("period", c_uint64))
Ready = struct("Ready", ("slots", c_uint64), ("slots_used", c_uint64), ("runtime", c_char * 64), ("warning", c_char * 160), ("resolver", c_uint8 * 4))
Started = struct("Started", ("address", c_uint8 * 4), ("port", c_uint16), ("ms", c_uint64))
Ended = struct("Ended", ("was_asked", c_bool), ("status", c_int32), ("was_oom", c_bool), ("is_held", c_bool), ("us", c_uint64))
Starting = struct("Starting", ("address", c_uint8 * 4))
Allowed = struct("Allowed", ("ticket", c_uint64))
Counted = struct("Counted", ("connections", c_uint64))
Execed = struct("Execed", ("status", c_int32), ("was_cut", c_bool), ("why", c_char * 160))


class Union(ctypes.Union):
    _fields_ = [("start", Start), ("stop", Stop), ("exec", Exec), ("allow", Allow), ("erase", Erase), ("found", Found), ("ready", Ready),
                ("started", Started), ("ended", Ended), ("counted", Counted), ("execed", Execed), ("starting", Starting), ("allowed", Allowed), ("snapshot", Snapshot),
                ("saving", Saving), ("snapshotted", Snapshotted), ("failed", Failed), ("text", c_char * 160)]


class Packet(ctypes.Structure):
    _fields_ = [("version", c_uint32), ("what", c_uint32), ("agent", c_char * 33), ("boot", c_char * 33), ("u", Union)]


def read_files(fd):
    """path -> (mode, bytes) of a START's memfd."""
    data, at, files = os.pread(fd, 1 << 27, 0), 0, {}
    while at < len(data):
        size, mode, path_len = int.from_bytes(data[at:at + 4], "little"), int.from_bytes(data[at + 4:at + 6], "little"), \
            int.from_bytes(data[at + 6:at + 8], "little")
        at += 8
        path, at = data[at:at + path_len].decode(), at + path_len
        assert path not in files
        files[path], at = (mode, data[at:at + size]), at + size
    return files


def names(field):
    """Of roots, or what is excluded."""
    return [name.decode() for name in bytes(field).split(b"\0") if name]


def digest(data):
    return hashlib.blake2b(data, digest_size=32).digest()


def identity(archive):
    """What an archive of the fake begins with: as a real one, it opens with the same values only."""
    return digest(bytes(archive))


class Agent:
    def __init__(self, packet, files, number, network):
        self.id, self.boot = packet.agent.decode(), packet.boot.decode()
        start = packet.u.start
        self.image, self.wallet, self.period = start.image.decode(), start.wallet.decode(), start.period
        self.kind, self.volume_key, self.is_narrowed = start.kind.decode(), bytes(start.volume_key), start.is_narrowed
        self.ranges = [(".".join(map(str, r.address)), r.bits) for r in start.range[:start.nranges]]
        self.limits = {n: getattr(start.limits, n) for n, _ in Limits._fields_}
        self.files, self.address = files, (*network, number // 128 % 256, number * 2 % 256 + 1)
        self.log_read, self.log_write = os.pipe()
        os.set_blocking(self.log_write, False)
        self.is_running, self.is_ending, self.connections = False, False, 0
        self.held_until = None  # of time.monotonic()
        self.volume = start.volume
        self.started_ms = int(time.time() * 1000)

    def close(self):
        os.close(self.log_read)
        os.close(self.log_write)


class FakeWarden:
    """holds: names of requests that are taken and not answered. answers: name -> function(packet, fds) instead of the usual.

    volumes: (agent, wallet, period) -> bytes, an agent's files as one text, which a test may read and change."""

    def __init__(self, path, slots=100, network=(10, 222), resolver=None):
        self.path, self.slots, self.network, self.resolver = pathlib.Path(path), slots, network, resolver
        self.lock = threading.RLock()
        self.agents, self.packets, self.doubles, self.lies = {}, [], [], 0
        self.holds, self.answers, self.numbers = set(), {}, 0
        self.exec_result = (0, b"", False, "")
        self.erase_why = ""
        self.volumes, self.snapshot_result = {}, None  # None: as it should be; or fields of SNAPSHOTTED
        self.listener = self.connection = self.thread = None

    # ---- life

    def start(self, ready=True):
        self.path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(self.path))
        self.listener.listen(5)
        self.is_stopping, self.says_ready = False, ready
        self.thread = threading.Thread(target=self.run, args=(self.listener,), daemon=True)
        self.thread.start()
        return self

    def stop(self, forget=False):
        """As kill -9; forget: of the containers, too."""
        self.is_stopping = True
        self.thread.join()
        with self.lock:
            for s in (self.connection, self.listener):
                if s:
                    s.close()
            self.connection = self.listener = None
            self.path.unlink(missing_ok=True)
            if forget:
                for agent in self.agents.values():
                    agent.close()
                self.agents = {}

    def run(self, listener):
        while not self.is_stopping:
            watched = [s for s in (listener, self.connection) if s]
            try:
                readable, _, _ = select.select(watched, [], [], 0.05)
            except (OSError, ValueError):
                continue
            self.release_late()
            for s in readable:
                with self.lock:
                    if s is listener:
                        self.accept()
                    elif s is self.connection:
                        self.receive()

    def accept(self):
        connection, _ = self.listener.accept()
        if self.connection:
            self.connection.close()
            self.release_all()
        self.connection = connection
        for agent in self.agents.values():
            self.say_found(agent)
        if self.says_ready:
            self.say_ready()

    def say_ready(self):
        with self.lock:
            packet = self.packet("READY")
            packet.u.ready.slots, packet.u.ready.slots_used = self.slots, len(self.agents)
            packet.u.ready.runtime = b"fake 1.0"
            self.send(packet, self.resolver)

    def say_found(self, agent):
        packet = self.packet("FOUND", agent)
        found = packet.u.found
        found.address = (c_uint8 * 4)(*agent.address)
        found.port = 18789 if agent.is_running else 0
        found.is_ending, found.started_ms = agent.is_ending, agent.started_ms
        found.image, found.wallet, found.period = agent.image.encode(), agent.wallet.encode(), agent.period
        self.send(packet, None if agent.is_ending else agent.log_read)

    # ---- packets

    def packet(self, what, of=None):
        packet = Packet(version=VERSION, what=NUMBERS[what])
        if of is not None:
            packet.agent = of.id.encode() if isinstance(of, Agent) else of.agent
            packet.boot = of.boot.encode() if isinstance(of, Agent) else of.boot
        return packet

    def send(self, packet, fd=None):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd is not None else []
        try:
            if self.connection:
                self.connection.sendmsg([packet if isinstance(packet, bytes) else bytes(packet)], rights)
        except OSError:
            pass

    def receive(self):
        fds = array.array("i")
        try:
            data, control, _, _ = self.connection.recvmsg(ctypes.sizeof(Packet) + 1, socket.CMSG_SPACE(8))
        except OSError:
            data, control = b"", []
        for level, kind, payload in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload[: len(payload) // 4 * 4])
        if len(data) != ctypes.sizeof(Packet):
            assert not data, f"a packet of {len(data)} bytes"
            self.connection.close()
            self.connection = None
            self.release_all()
            return
        packet = Packet.from_buffer_copy(data)
        name = NAMES[packet.what]
        self.packets.append((time.monotonic(), name, packet.agent.decode(), packet.boot.decode(), packet))
        if name in self.answers:
            self.answers[name](packet, list(fds))
        elif name not in self.holds:
            getattr(self, f"do_{name.lower()}")(packet, list(fds))
        elif name == "START":
            self.take(packet, list(fds))
        for fd in fds:
            os.close(fd)

    def do_alive(self, packet, fds):
        pass

    def take(self, packet, fds):
        """A START is under way: there is something of it."""
        name = packet.agent.decode()
        if name in self.agents:
            self.doubles.append(name)
            return self.fail(packet, "it is there already")
        if len(self.agents) >= self.slots:
            return self.fail(packet, "no slot is free")
        self.numbers += 1
        agent = self.agents[name] = Agent(packet, read_files(fds[0]), self.numbers, self.network)
        starting = self.packet("STARTING", agent)
        starting.u.starting.address = (c_uint8 * 4)(*agent.address)
        self.send(starting)
        return agent

    def fail(self, of, why, failure=FAILURE_OTHER):
        packet = self.packet("FAILED", of)
        packet.u.failed.text = why if isinstance(why, bytes) else why.encode()
        packet.u.failed.failure = failure
        self.send(packet)

    def do_start(self, packet, fds):
        agent, volume = self.take(packet, fds), self.volume_of(packet.agent.decode(), packet.u.start)
        if not agent:
            return
        if agent.volume == FILLED:
            threading.Thread(target=self.fill, args=(agent, volume, packet.u.start.archive, os.dup(fds[1])), daemon=True).start()
        elif agent.volume == PRESENT and volume not in self.volumes:
            self.fail_start(agent, "there is no volume on this host", FAILURE_NO_VOLUME)
        else:
            self.volumes.setdefault(volume, b"")
            self.finish_start(agent)

    @staticmethod
    def volume_of(agent, of):
        return agent, of.wallet.decode() if isinstance(of.wallet, bytes) else of.wallet, of.period

    def fail_start(self, agent, why, failure):
        with self.lock:
            if self.agents.get(agent.id) is agent:
                self.agents.pop(agent.id).close()
                self.fail(agent, why, failure)

    def fill(self, agent, volume, archive, fd):
        data = b""
        while chunk := os.read(fd, 1 << 16):
            data += chunk
        os.close(fd)
        if data[:32] != identity(archive) or data[-4:] != b"last":
            return self.fail_start(agent, "the archive is damaged", FAILURE_ARCHIVE)
        with self.lock:
            if self.agents.get(agent.id) is agent and not agent.is_ending:
                self.volumes[volume] = data[32:-4]
                saving = self.packet("SAVING", agent)
                saving.u.saving.bytes = saving.u.saving.total_bytes = len(data)
                self.send(saving)
                self.finish_start(agent)

    def finish_start(self, agent):
        with self.lock:
            agent.is_running = True
            packet = self.packet("STARTED", agent)
            packet.u.started.address = (c_uint8 * 4)(*agent.address)
            packet.u.started.port, packet.u.started.ms = 18789, 5
            self.send(packet, agent.log_read)

    def of(self, packet):
        agent = self.agents.get(packet.agent.decode())
        return agent if agent and agent.boot == packet.boot.decode() else None

    def do_stop(self, packet, fds):
        agent = self.of(packet)
        hold_ms = packet.u.stop.hold_ms if packet.what == NUMBERS["STOP"] else 0
        if not agent:
            return
        if agent.held_until and packet.what == NUMBERS["KILL"]:
            self.go(agent)
        elif not agent.is_ending:
            if agent.is_running:
                self.end(agent, True, hold_ms=hold_ms)
            else:
                self.agents.pop(agent.id).close()
                self.fail(agent, "killed")

    do_kill = do_stop

    def end(self, agent, was_asked, status=9, oom=False, gone=True, hold_ms=0):
        with self.lock:
            agent.is_ending, agent.is_running = True, False
            agent.held_until = time.monotonic() + hold_ms / 1000 if hold_ms else None
            packet = self.packet("ENDED", agent)
            packet.u.ended.was_asked, packet.u.ended.status, packet.u.ended.was_oom, packet.u.ended.us = was_asked, status, oom, 500
            packet.u.ended.is_held = bool(hold_ms)
            self.send(packet)
            if gone and not hold_ms:
                self.go(agent)

    # ---- snapshots

    def do_release(self, packet, fds):
        agent = self.of(packet)
        if agent and agent.held_until:
            self.go(agent)
        elif not agent:
            self.send(self.packet("GONE", packet))

    def release_all(self):
        for agent in [a for a in self.agents.values() if a.held_until]:
            self.go(agent)

    def release_late(self):
        with self.lock:
            for agent in [a for a in self.agents.values() if a.held_until and a.held_until < time.monotonic()]:
                self.go(agent)

    def do_snapshot(self, packet, fds):
        """Into the pipe, while it is made: who reads it reads at the same time."""
        agent = self.of(packet)
        if not agent or not (agent.is_running or agent.held_until):
            return self.say_snapshotted(packet, outcome=NOT_SAVED, text=b"it does not run, and is not held")
        if self.snapshot_result is not None:
            return self.say_snapshotted(packet, **self.snapshot_result)
        files = self.volumes.get(self.volume_of(agent.id, agent), b"")
        fingerprint = (c_uint8 * 32)(*digest(files))
        if bytes(packet.u.snapshot.fingerprint) == bytes(fingerprint):
            return self.say_snapshotted(packet, outcome=UNCHANGED, fingerprint=fingerprint)
        archive = identity(packet.u.snapshot.archive) + files + b"last"
        threading.Thread(target=self.write_archive, args=(packet, archive, files, fingerprint, os.dup(fds[0])), daemon=True).start()

    def write_archive(self, packet, archive, files, fingerprint, fd):
        try:
            with open(fd, "wb") as pipe:
                pipe.write(archive)
        except BrokenPipeError:
            return self.say_snapshotted(packet, outcome=NOT_SAVED, text=b"nobody reads the archive")
        self.say_snapshotted(packet, outcome=MADE, bytes=len(files), files=1, stored_bytes=len(archive), digest=(c_uint8 * 32)(*digest(archive)),
                             fingerprint=fingerprint)

    def say_snapshotted(self, of, **fields):
        with self.lock:
            packet = self.packet("SNAPSHOTTED", of)
            for name, value in fields.items():
                setattr(packet.u.snapshotted, name, value)
            self.send(packet)

    def go(self, agent):
        with self.lock:
            self.agents.pop(agent.id).close()
            self.send(self.packet("GONE", agent))

    def do_reset(self, packet, fds):
        if self.of(packet):
            self.of(packet).connections = 0
        self.send(self.packet("RESETTED", packet))

    def do_count(self, packet, fds):
        agent = self.of(packet)
        if agent:
            answer = self.packet("COUNTED", agent)
            answer.u.counted.connections = agent.connections
            self.send(answer)

    def do_exec(self, packet, fds):
        status, output, was_cut, why = self.exec_result
        answer = self.packet("EXECED", packet)
        answer.u.execed.status, answer.u.execed.was_cut, answer.u.execed.why = status, was_cut, why.encode()
        fd = os.memfd_create("output")
        os.write(fd, output)
        self.send(answer, fd)
        os.close(fd)

    def do_allow(self, packet, fds):
        answer = self.packet("ALLOWED", packet)
        answer.u.allowed.ticket = packet.u.allow.ticket
        self.send(answer)

    def do_erase(self, packet, fds):
        answer = self.packet("ERASED", packet)
        answer.u.text = self.erase_why.encode()
        self.send(answer)

    # ---- for tests

    def asked(self, *names, agent=None, since=0):
        """(time, name, boot, packet) of what came, ALIVE left out."""
        with self.lock:
            return [(at, name, boot, packet) for at, name, of, boot, packet in self.packets
                    if at >= since and (name in names if names else name != "ALIVE") and (agent is None or of == agent)]

    def names(self, **which):
        return [name for _, name, _, _ in self.asked(**which)]

    def running(self, agent):
        with self.lock:
            found = self.agents.get(agent)
            return found if found and found.is_running else None

    def write(self, agent, data):
        """What the agent writes to its output; returns how much of it was taken."""
        taken = 0
        try:
            while taken < len(data):
                taken += os.write(self.agents[agent].log_write, data[taken:taken + 65536])
        except BlockingIOError:
            pass
        return taken
