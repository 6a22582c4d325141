"""What an agent tries against its host and its neighbours, from inside a real container, and what comes of it."""

import os
import re
import struct
import subprocess

import pytest

from container_parts import FILES, PROBE, SECRET, TOKEN, ProbeWarden, first_process, import_image, lines, with_entry
from suite import wait_until
from warden_parts import EXEC, EXECED, LIMITS, agent_id, get

pytestmark = pytest.mark.usefixtures("containers")

# each system call that an agent may not have, and how it is refused
ATTEMPTS = {
    **{f"unshare {kind}": "EPERM" for kind in ("USER", "NS", "PID", "NET", "IPC", "UTS", "CGROUP", "TIME")},
    **{f"clone {kind}": "ENOSYS" for kind in ("USER", "NS", "PID", "NET", "IPC", "UTS", "CGROUP", "USER and NET")},
    "clone3 USER": "ENOSYS",
    **{f"setns {kind}": "EPERM" for kind in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "pidfd")},
    **dict.fromkeys(
        ("mount", "mount bind", "mount remount", "umount", "pivot_root", "chroot", "move_mount", "fsopen", "fsmount", "fspick", "open_tree",
         "mount_setattr", "mknod block", "mknod mem", "ptrace 1", "ptrace child", "ptrace traceme", "process_vm_readv", "process_vm_writev",
         "pidfd_getfd", "kcmp", "keyctl", "add_key", "request_key", "bpf", "perf_event_open", "userfaultfd", "kexec_load", "kexec_file_load",
         "init_module", "finit_module", "delete_module", "reboot", "swapon", "swapoff", "settimeofday", "clock_settime", "adjtimex",
         "sethostname", "setdomainname", "quotactl", "acct", "syslog", "vhangup", "name_to_handle_at", "open_by_handle_at", "fanotify_init",
         "lookup_dcookie", "memfd_secret", "vmsplice", "move_pages", "migrate_pages", "process_madvise", "iopl", "ioperm", "modify_ldt", "uselib"),
        "EPERM"),
    **dict.fromkeys(("io_uring_setup", "io_uring_enter", "io_uring_register", "personality", "unknown system call"), "ENOSYS"),
    "int 0x80": ("SIGSYS", "SIGSEGV"),  # by the filter, or by a kernel that knows no other architecture
    "x32 getpid": "SIGSYS",
    **{f"socket {family}": "EAFNOSUPPORT" for family in ("packet", "packet dgram", "vsock", "alg", "bluetooth", "can", "tipc", "xdp", "rds", "key", "ax25")},
    **{f"socket netlink {protocol}": "EPROTONOSUPPORT" for protocol in ("netfilter", "audit", "diag", "uevent", "xfrm")},
    "socket netlink route": "ok",  # libc asks it for addresses
    **dict.fromkeys(("socket raw", "socket raw all", "socket raw6"), "EPERM"),
    **dict.fromkeys(
        ("core limit", "setresuid 0", "setgroups 0", "capset", "ambient capability", "setuid file of the image", "setuid file for root",
         "realtime"),
        "EPERM"),
    **dict.fromkeys(("drop the filter", "drop no_new_privs"), "EINVAL"),
    **dict.fromkeys(("lower oom score", "lower nice"), "EACCES"),
    # what may work: the first process is the agent's own, with no right that others of it have not
    "open /proc/1/mem": "ok",
    "open /proc/1/cmdline": "ok",
    "kill 1": "ok",
}  # fmt: skip


@pytest.fixture(scope="module")
def warden():
    with ProbeWarden("b0", "10.226.0.0/17") as made:
        yield made


@pytest.fixture(scope="module")
def client(warden):
    client = warden.client()
    yield client
    print(warden.said()[-3000:])


@pytest.fixture(scope="module")
def agent(client, warden):
    name = agent_id("isolation")
    client.started(name, image=warden.probes, files=FILES)
    return name


@pytest.fixture(scope="module")
def neighbour(client, warden):
    name = agent_id("neighbour")
    client.started(name, image=warden.probes, files={"gateway-token": TOKEN, "custom/secret": b"the neighbour's secret"})
    assert sh(client, name, "echo the neighbours data > /data/mine; echo its tmp > /tmp/mine; cat /data/mine").strip()
    return name


def run(client, agent, *command, timeout_ms=20000):
    whole = b"".join(word.encode() + b"\0" for word in command)
    client.send(EXEC, agent, "b0", struct.pack("=I8192s4xQ", len(whole), whole, timeout_ms))
    done = client.wait(EXECED, agent=agent, timeout=timeout_ms / 1000 + 20)
    assert not done.why, done.why
    return done.output.decode(errors="replace")


def sh(client, agent, script, **more):
    return run(client, agent, "/bin/sh", "-c", script, **more)


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


def differing(got):
    """Rows that are not as the table has them, either way."""
    return {name: (got.get(name), ATTEMPTS.get(name)) for name in {*got, *ATTEMPTS} if got.get(name) not in as_tuple(ATTEMPTS.get(name))}


# ---- system calls


def test_every_forbidden_call_is_refused_to_what_an_operator_starts_inside(client, agent):
    assert not differing(lines(run(client, agent, "/probe", "attempts")))


def test_every_forbidden_call_is_refused_to_the_agents_own_processes(warden, client, tmp_path):
    """Its own have the runtime's filter, an operator's have warden's."""
    image = import_image(warden.state, "tries", with_entry(tmp_path, "/bin/sh", "-c", "/probe attempts >/data/tried 2>&1; exec /demo-agent"), "other")
    name = agent_id("tries")
    client.started(name, image=image, files=FILES, ready_ms=30000)
    tried = sh(client, name, "cat /data/tried")
    client.killed(name)
    assert not differing(lines(tried))


def test_the_attempts_can_succeed():
    """On the host, as nobody in a user namespace of its own, many do: the refusals above are the container's."""
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "--user", "--map-root-user", "--net", "--mount", "--uts",
                           "--ipc", "--pid", "--kill-child", PROBE, "attempts"], capture_output=True, text=True, timeout=60)
    got = lines(done.stdout)
    assert got.keys() == ATTEMPTS.keys()
    wanted = {"unshare USER", "unshare NET", "clone USER", "clone3 USER", "setns net", "mount", "umount", "fsopen", "fspick", "chroot", "ptrace child",
              "keyctl", "add_key", "sethostname", "userfaultfd", "io_uring_setup", "personality", "name_to_handle_at", "socket packet",
              "socket netlink netfilter", "socket raw", "core limit", "memfd_secret"}  # fmt: skip
    assert not {name: got[name] for name in wanted if got[name] != "ok"}


# ---- who it is


def test_no_process_inside_has_a_capability_a_way_to_privileges_or_no_filter(client, agent):
    status = sh(client, agent, "cat /proc/1/status /proc/self/status; for p in /proc/[0-9]*; do cat $p/status; done")
    counts = {name: len(re.findall(rf"^{name}:\t0{{16}}$", status, re.M)) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    several = len(re.findall("^Name:", status, re.M))
    assert several >= 4 and set(counts.values()) == {several}, (several, counts)
    assert len(re.findall("^NoNewPrivs:\t1$", status, re.M)) == several and len(re.findall("^Seccomp:\t2$", status, re.M)) == several
    assert set(re.findall(r"^Uid:\t(.*)$", status, re.M)) == {"1000\t1000\t1000\t1000"}
    assert set(re.findall(r"^Groups:\t(.*?) *$", status, re.M)) <= {"", "1000"}


def test_a_setuid_program_of_the_image_gains_nothing(client, agent):
    assert "Uid:\t1000\t1000\t1000\t1000" in sh(client, agent, "/bin/busybox cp /bin/busybox /data/sh; /bin/busybox chmod 6755 /data/sh; /data/sh -c 'exec cat /proc/self/status'")
    assert sh(client, agent, "stat -c %a /setuid-probe").strip() == "755"
    options = {line.split()[4]: line.split()[5].split(",") for line in sh(client, agent, "cat /proc/self/mountinfo").splitlines()}
    for point in ("/", "/data", "/tmp", "/dev", "/dev/shm", "/run/secrets", "/proc", "/sys"):
        assert "nosuid" in options[point], (point, options[point])
    for point in ("/", "/data", "/tmp", "/dev/shm", "/run/secrets", "/proc", "/sys"):
        assert "nodev" in options[point], (point, options[point])
    for point in ("/", "/sys", "/run/secrets", "/dev/init", "/proc/sys"):
        assert "ro" in options[point], (point, options[point])
    assert [point for point in options if point.startswith("/sys/fs/cgroup/")] or "ro" in options["/sys/fs/cgroup"]
    assert all("ro" in options[point] for point in options if point.startswith("/sys/fs/cgroup/"))


def test_each_agent_has_65536_ids_of_its_own(warden, client, agent, neighbour):
    maps = [[int(n) for n in sh(client, who, f"cat /proc/self/{kind}_map").split()] for who in (agent, neighbour) for kind in ("uid", "gid")]
    assert all(first == 0 and size == 65536 and base >= 1 << 30 for first, base, size in maps), maps
    assert maps[0] == maps[1] and maps[2] == maps[3] and abs(maps[0][1] - maps[2][1]) >= 65536
    for who, (_, base, _) in ((agent, maps[0]), (neighbour, maps[2])):
        with open(f"/proc/{first_process(warden.prefix, who)}/status") as status:
            assert f"\nUid:\t{base + 1000}\t" in status.read()


def test_its_name_is_its_id(client, agent):
    assert sh(client, agent, "cat /proc/sys/kernel/hostname /etc/hostname").split() == [agent, agent]


def test_no_core_is_dumped(client, agent):
    limits = sh(client, agent, "for p in /proc/[0-9]*; do cat $p/limits; done")
    cores = re.findall(r"^Max core file size +(\S+) +(\S+)", limits, re.M)
    assert cores and set(cores) == {("0", "0")}
    assert sh(client, agent, "cd /tmp; sh -c 'kill -SEGV $$'; echo; ls -A /tmp").split() in ([], ["Segmentation", "fault"])


# ---- what it may write


def test_it_writes_to_data_tmp_and_shm_and_to_no_file_of_kernel_image_or_cgroup(client, agent):
    found = run(client, agent, "/probe", "walk").split("\n")
    assert sorted(filter(None, found)) == ["folder /data", "folder /dev/shm", "folder /tmp"]
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/net/ipv4/ip_forward", "/proc/sysrq-trigger", "/sys/fs/cgroup/cgroup.procs", "/bin/new",
                 "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/run/secrets/custom/secret", "/etc/resolv.conf", "/dev/new", "/proc/1/oom_score_adj"):
        assert "written" not in sh(client, agent, f"(echo -900 > {path}) 2>/dev/null && echo written"), path


# ---- what it may see


def test_devices_are_the_usual_and_nothing_else(client, agent):
    names = sh(client, agent, "cd /dev; find . -type c -o -type b").split()
    assert sorted(names) == sorted(f"./{n}" for n in ("null", "zero", "full", "random", "urandom", "tty", "pts/ptmx"))
    assert sh(client, agent, "find / -type b 2>/dev/null") == ""


def test_it_sees_its_own_limits(client, agent):
    """Programs that know no limit take all the host's memory for theirs, and are killed for it."""
    seen = sh(client, agent, "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null")
    assert seen.split() == [str(LIMITS["memory"])]


def test_masked_files_of_proc_hold_nothing(client, agent):
    for path in ("acpi", "interrupts", "kallsyms", "kcore", "keys", "key-users", "kmsg", "modules", "scsi", "timer_list", "sched_debug", "latency_stats", "pressure"):
        assert sh(client, agent, f"/bin/busybox head -c 100 /proc/{path} 2>/dev/null; ls -A /proc/{path} 2>/dev/null").strip() in ("", f"/proc/{path}"), path


def test_it_sees_its_own_processes_alone(client, agent, neighbour):
    pids = sh(client, agent, "ls -d /proc/[0-9]*").split()
    assert "/proc/1" in pids and len(pids) <= 6, pids
    words = sh(client, agent, "cat /proc/[0-9]*/cmdline").split("\0")
    assert "/dev/init" in words[0] and "/demo-agent" in words and not any("gocryptfs" in w or "python" in w for w in words)


def test_no_secret_is_in_environment_or_arguments(warden, client, agent):
    inside = sh(client, agent, "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline")
    assert "MULTICLAW_SECRETS=/run/secrets" in inside
    host = b""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("environ", "cmdline"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as f:
                    host += f.read()
            except OSError:
                continue
    for secret in (SECRET, TOKEN, b"k" * 32, (b"k" * 32).hex().encode()):
        assert secret not in inside.encode() and secret not in host
    for path in warden.state.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 20:
            assert SECRET not in path.read_bytes(), path


def test_secrets_are_the_agents_own_on_a_tmpfs_and_not_writable(client, agent):
    found = sh(client, agent, "cd /run/secrets; stat -c '%n %a %u %g' . custom gateway-token custom/secret; stat -f -c %T .").split("\n")
    assert found[:5] == [". 500 1000 1000", "custom 500 1000 1000", "gateway-token 400 1000 1000", "custom/secret 400 1000 1000", "tmpfs"]
    assert sh(client, agent, "cat /run/secrets/custom/secret").encode() == SECRET
    for script in ("echo x > /run/secrets/new", "echo x >> /run/secrets/gateway-token", "/bin/busybox chmod 700 /run/secrets", "/bin/busybox rm -f /run/secrets/gateway-token",
                   "/bin/busybox mv /run/secrets/gateway-token /run/secrets/x"):
        assert re.search("Read-only|Permission denied", sh(client, agent, f"({script}) 2>&1")), script


# ---- the neighbour


def test_no_path_leads_to_a_neighbours_files_or_the_hosts(warden, client, agent, neighbour):
    info = sh(client, agent, "cat /proc/self/mountinfo")
    assert neighbour not in info
    script = f"""
    for p in /proc/[0-9]* /proc/self; do
        for f in root/data/mine root/tmp/mine cwd/mine root/run/secrets/custom/secret root/etc/shadow; do cat $p/$f; done
        for d in $p/fd/*; do ls -A $d/../../../../; done
    done 2>/dev/null
    for p in /data/../../{neighbour} /../../../../volumes /data/../volumes/{neighbour} {warden.state} {warden.state}/volumes /proc/1/root/../../..{warden.state} \
        /run/multiclaw /run/multiclaw-{warden.prefix} /dev/loop0 /dev/fuse /dev/mem; do cat $p; ls $p; done 2>/dev/null
    true"""
    found = sh(client, agent, script)
    assert SECRET.decode() in found, "a process' own root is reachable, so the script looks where it should"
    for text in ("neighbours data", "its tmp", "neighbour's secret", "root:"):
        assert text not in found
    # by the names that mountinfo gives away
    for name in {word for line in info.splitlines() for word in (line.split()[3], line.split(" - ")[1].split()[1]) if word.startswith("/") and len(word) > 1}:
        shown = sh(client, agent, f"ls -d {name} 2>/dev/null").strip()
        assert shown in ("", "/data", "/tmp", "/dev", "/proc", "/sys", "/run/secrets", "/probe", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"), shown


def test_symbolic_links_in_data_lead_nowhere_outside(warden, client, agent, neighbour):
    """Neither for the agent, nor for warden when it ends and comes back."""
    sh(client, agent, "cd /data; L='/bin/busybox ln -sf'; $L /etc/shadow a; $L ../../../../../../etc/shadow b; $L /proc/1/root c; $L /proc/self/fd/0 d")
    assert sh(client, agent, "cat /data/a /data/b 2>/dev/null") == ""
    assert "data" in sh(client, agent, "ls /data/c")


def test_memory_and_message_queues_are_not_shared(client, agent, neighbour):
    sh(client, neighbour, "echo of the neighbour > /dev/shm/shared")
    assert sh(client, agent, "ls -A /dev/shm") == ""
    assert len(sh(client, agent, "cat /proc/sysvipc/shm /proc/sysvipc/msg /proc/sysvipc/sem").splitlines()) == 3


def test_two_agents_share_no_namespace_with_each_other_or_the_host(warden, client, agent, neighbour):
    seen = {}
    for who, pid in (("agent", first_process(warden.prefix, agent)), ("neighbour", first_process(warden.prefix, neighbour)), ("host", "self")):
        for kind in ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup"):
            seen.setdefault(kind, set()).add(os.readlink(f"/proc/{pid}/ns/{kind}"))
    assert all(len(values) == 3 for values in seen.values()), seen


def test_after_all_that_it_still_serves(warden, client, agent):
    address = next(line.split()[1].split("/")[0] for line in sh(client, agent, "/bin/busybox ip -4 addr show eth0").splitlines() if "inet " in line)
    assert wait_until("an answer", lambda: get(address, "/healthz")[0], 5) == 200
