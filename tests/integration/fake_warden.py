"""What multiclaw-warden says to multiclaw-sandbox (proto/warden.h), without containers: a warden that does what a test wants, lies and death included."""

import array
import ctypes
import os
import pathlib
import select
import socket
import threading
import time
from ctypes import c_bool, c_char, c_int32, c_uint8, c_uint16, c_uint32, c_uint64

VERSION = 3
NUMBERS = {"ALIVE": 1, "START": 2, "STOP": 3, "KILL": 4, "RESET": 5, "COUNT": 6, "EXEC": 7, "ALLOW": 8, "ERASE": 9,
           "FOUND": 101, "READY": 102, "STARTED": 103, "FAILED": 104, "ENDED": 105, "GONE": 106, "COUNTED": 107, "EXECED": 108, "ERASED": 109,
           "STARTING": 110, "ALLOWED": 111}
NAMES = {number: name for name, number in NUMBERS.items()}


def struct(name, *fields):
    return type(name, (ctypes.Structure,), {"_fields_": [(n, t) for n, t in fields]})


Limits = struct("Limits", *((n, c_uint64) for n in ("memory_bytes", "pids", "cpu_percent", "volume_bytes", "tmp_bytes", "connections",
                                                    "io_bytes_per_s")))
Start = struct("Start", ("image", c_char * 65), ("wallet", c_char * 45), ("period", c_uint64), ("volume_key", c_uint8 * 32), ("limits", Limits),
               ("ready_ms", c_uint64), ("is_narrowed", c_bool), ("kind", c_char * 16), ("nranges", c_uint32),
               ("range", struct("Range", ("address", c_uint8 * 4), ("bits", c_uint32)) * 100))
Stop = struct("Stop", ("grace_ms", c_uint64))
Exec = struct("Exec", ("len", c_uint32), ("text", c_char * 8192), ("timeout_ms", c_uint64))
Allow = struct("Allow", ("len", c_uint32), ("address", c_uint8 * 4 * 32), ("ttl_s", c_uint32), ("ticket", c_uint64))
Erase = struct("Erase", ("wallet", c_char * 45), ("period", c_uint64))
Found = struct("Found", ("address", c_uint8 * 4), ("port", c_uint16), ("is_ending", c_bool), ("started_ms", c_uint64), ("image", c_char * 65),
               ("wallet", c_char * 45), ("period", c_uint64))
Ready = struct("Ready", ("slots", c_uint64), ("slots_used", c_uint64), ("runtime", c_char * 64), ("warning", c_char * 160), ("resolver", c_uint8 * 4))
Started = struct("Started", ("address", c_uint8 * 4), ("port", c_uint16), ("ms", c_uint64))
Ended = struct("Ended", ("was_asked", c_bool), ("status", c_int32), ("was_oom", c_bool), ("us", c_uint64))
Starting = struct("Starting", ("address", c_uint8 * 4))
Allowed = struct("Allowed", ("ticket", c_uint64))
Counted = struct("Counted", ("connections", c_uint64))
Execed = struct("Execed", ("status", c_int32), ("was_cut", c_bool), ("why", c_char * 160))


class Union(ctypes.Union):
    _fields_ = [("start", Start), ("stop", Stop), ("exec", Exec), ("allow", Allow), ("erase", Erase), ("found", Found), ("ready", Ready),
                ("started", Started), ("ended", Ended), ("counted", Counted), ("execed", Execed), ("starting", Starting), ("allowed", Allowed), ("text", c_char * 160)]


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
        self.started_ms = int(time.time() * 1000)

    def close(self):
        os.close(self.log_read)
        os.close(self.log_write)


class FakeWarden:
    """holds: names of requests that are taken and not answered. answers: name -> function(packet, fds) instead of the usual."""

    def __init__(self, path, slots=100, network=(10, 222), resolver=None):
        self.path, self.slots, self.network, self.resolver = pathlib.Path(path), slots, network, resolver
        self.lock = threading.RLock()
        self.agents, self.packets, self.doubles, self.lies = {}, [], [], 0
        self.holds, self.answers, self.numbers = set(), {}, 0
        self.exec_result = (0, b"", False, "")
        self.erase_why = ""
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
            data, control, _, _ = self.connection.recvmsg(ctypes.sizeof(Packet) + 1, socket.CMSG_SPACE(4))
        except OSError:
            data, control = b"", []
        for level, kind, payload in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload[:4])
        if len(data) != ctypes.sizeof(Packet):
            assert not data, f"a packet of {len(data)} bytes"
            self.connection.close()
            self.connection = None
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

    def fail(self, of, why):
        packet = self.packet("FAILED", of)
        packet.u.text = why if isinstance(why, bytes) else why.encode()
        self.send(packet)

    def do_start(self, packet, fds):
        agent = self.take(packet, fds)
        if agent:
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
        if agent and not agent.is_ending:
            if agent.is_running:
                self.end(agent, True)
            else:
                self.agents.pop(agent.id).close()
                self.fail(agent, "killed")

    do_kill = do_stop

    def end(self, agent, was_asked, status=9, oom=False, gone=True):
        with self.lock:
            agent.is_ending, agent.is_running = True, False
            packet = self.packet("ENDED", agent)
            packet.u.ended.was_asked, packet.u.ended.status, packet.u.ended.was_oom, packet.u.ended.us = was_asked, status, oom, 500
            self.send(packet)
            if gone:
                self.go(agent)

    def go(self, agent):
        with self.lock:
            self.agents.pop(agent.id).close()
            self.send(self.packet("GONE", agent))

    def do_reset(self, packet, fds):
        if self.of(packet):
            self.of(packet).connections = 0

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
