"""Whom an agent reaches and who reaches it: ten real containers on a machine of the test's own (a network namespace), with a small world behind it.

Probes run as root in each container's network, which is more than an agent may, and as agents do.
"""

import concurrent.futures
import itertools
import os
import subprocess
import time

import pytest

from container_parts import FILES, PROBE, ProbeWarden, first_process, inside, ip, lines, network_of_our_own, run_inside
from suite import wait_until
from warden_parts import ENDED, FAILED, GONE, PORT, STARTED, agent_id, get

pytestmark = pytest.mark.usefixtures("containers")

AGENTS = 10
OTHER = 4000  # a port that every container listens on besides its agent's, TCP and UDP
PUBLIC = "5.5.5.5"
# what the world answers for although no agent may ask it
FORBIDDEN = ["10.99.0.1", "172.20.0.1", "192.168.7.1", "169.254.169.254", "169.254.7.7", "100.64.0.1", "100.100.100.200", "198.18.0.1", "192.0.0.8",
             "192.0.2.1", "203.0.113.1", "198.51.100.1", "192.88.99.1", "168.63.129.16", "240.0.0.1", "5.6.7.8"]  # the last by a setting  # fmt: skip


class World:
    """Behind the host: a namespace with public and other addresses, all of which answer."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "600"])
        wait_until("a namespace", lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        ip("link", "add", "uplink", "type", "veth", "peer", "name", "eth0", "netns", self.holder.pid)
        ip("addr", "add", "11.0.0.1/24", "dev", "uplink")
        ip("-6", "addr", "add", "2a00:1::1/64", "dev", "uplink", "nodad")
        ip("link", "set", "uplink", "up")
        self.ip("link", "set", "lo", "up")
        self.ip("addr", "add", "11.0.0.2/24", "dev", "eth0")
        self.ip("-6", "addr", "add", "2a00:1::2/64", "dev", "eth0", "nodad")
        self.ip("link", "set", "eth0", "up")
        self.ip("route", "add", "default", "via", "11.0.0.1")
        for address in [PUBLIC, *FORBIDDEN]:
            if not address.startswith("240."):
                self.ip("addr", "add", f"{address}/32", "dev", "lo")
        ip("route", "add", "default", "via", "11.0.0.2")
        self.services = [inside(self.holder.pid, PROBE, "listen", port) for port in (OTHER, 25)]
        for each in self.services:
            assert each.stdout.readline() == "listening\n"

    def ip(self, *words):
        run_inside(self.holder.pid, "ip", *words)

    def end(self):
        for process in [*self.services, self.holder]:
            process.kill()
            process.wait()


class Agent:
    def __init__(self, client, warden, n):
        self.name = agent_id(f"network {n}")
        event = client.started(self.name, image=warden.probes, files=FILES, connections=400)
        self.address, self.warden, self.client = event.address, warden, client
        self.pid = first_process(warden.prefix, self.name)
        self.n = n
        self.listener = inside(self.pid, PROBE, "listen", OTHER)
        assert self.listener.stdout.readline() == "listening\n"
        os.set_blocking(self.listener.stdout.fileno(), False)

    @property
    def gateway(self):
        """The host's end of its link."""
        return run_inside(self.pid, "ip", "-4", "route", "show", "default").split()[2]

    def reach(self, *targets):
        """As root in its network."""
        return lines(run_inside(self.pid, PROBE, "reach", *targets))

    def tries(self, *targets):
        """As the agent itself."""
        return lines(self.client.exec(self.name, "/probe", "reach", *targets, timeout_ms=20000).output)

    def heard(self):
        return [line for line in iter(self.listener.stdout.readline, "") if line]


def together(work, items):
    with concurrent.futures.ThreadPoolExecutor(AGENTS) as pool:
        return list(pool.map(work, items))


@pytest.fixture(scope="module")
def machine(containers):
    with network_of_our_own():
        yield


@pytest.fixture(scope="module")
def world(machine):
    made = World()
    yield made
    made.end()


@pytest.fixture(scope="module")
def warden(world):
    with ProbeWarden("b2", "10.226.192.0/20", MULTICLAW_DENY_CIDRS="5.6.7.0/24") as made:
        yield made


@pytest.fixture(scope="module")
def agents(warden):
    client = warden.client()
    made = [Agent(client, warden, n) for n in range(AGENTS)]
    yield made
    for agent in made:
        agent.listener.kill()
        agent.listener.wait()
    client.events.clear()
    for agent in made:
        client.kill(agent.name)
        client.wait(GONE, agent=agent.name)


def kinds(address, arp=True):
    return [f"tcp:{address}:{PORT}", f"tcp:{address}:{OTHER}", f"udp:{address}:{OTHER}", f"udp:{address}:53", f"icmp:{address}"] + [f"arp:{address}"] * arp


def reached(results):
    return {what: result for what, result in results.items() if result == "ok"}


# ---- that the probes work


def test_the_probes_reach_what_there_are_no_rules_for(machine):
    """Two plain namespaces on one link: every kind arrives."""
    holders = [subprocess.Popen(["unshare", "--net", "sleep", "60"]) for _ in range(2)]
    try:
        for holder in holders:
            wait_until("a namespace", lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        ip("link", "add", "eth0", "netns", holders[0].pid, "type", "veth", "peer", "name", "eth0", "netns", holders[1].pid)
        for n, holder in enumerate(holders):
            run_inside(holder.pid, "ip", "addr", "add", f"10.9.9.{n + 1}/24", "dev", "eth0")
            run_inside(holder.pid, "ip", "-6", "addr", "add", f"fd00:9::{n + 1}/64", "dev", "eth0", "nodad")
            run_inside(holder.pid, "ip", "link", "set", "eth0", "up")
        with inside(holders[1].pid, PROBE, "listen", OTHER) as listener:
            assert listener.stdout.readline() == "listening\n"
            v6 = [f"tcp:[fd00:9::2]:{OTHER}", f"udp:[fd00:9::2]:{OTHER}", "icmp:[fd00:9::2]"]
            wanted = [f"tcp:10.9.9.2:{OTHER}", f"udp:10.9.9.2:{OTHER}", "icmp:10.9.9.2", "arp:10.9.9.2", *v6]
            results = lines(run_inside(holders[0].pid, PROBE, "reach", *wanted))
            listener.kill()
        assert results == dict.fromkeys(wanted, "ok")
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()


# ---- outward


def test_a_public_address_is_reached_and_its_mail_port_is_not(world, agents):
    assert agents[0].tries(f"tcp:{PUBLIC}:{OTHER}", f"udp:{PUBLIC}:{OTHER}") == {f"tcp:{PUBLIC}:{OTHER}": "ok", f"udp:{PUBLIC}:{OTHER}": "ok"}
    assert not reached(agents[0].tries(f"tcp:{PUBLIC}:25"))
    assert agents[0].reach(f"icmp:{PUBLIC}") == {f"icmp:{PUBLIC}": "ok"}


def test_private_link_local_metadata_shared_and_denied_addresses_are_not(world, agents):
    targets = [t for address in FORBIDDEN for t in kinds(address, arp=False)]
    host = lines(subprocess.run([PROBE, "reach", *[f"tcp:{address}:{OTHER}" for address in FORBIDDEN]], capture_output=True).stdout)
    assert len(reached(host)) >= len(FORBIDDEN) - 1, f"the host reaches them, so it is the rules that forbid: {host}"
    assert not reached(agents[0].reach(*targets)) and not reached(agents[0].tries(*targets))


def test_no_address_of_the_host_is_reached(world, agents):
    mapped = "[::ffff:127.0.0.1]"
    with subprocess.Popen([PROBE, "listen", str(OTHER)], stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout.readline() == "listening\n"
        first, second = agents[0].gateway, agents[1].gateway
        addresses = [first, second, "11.0.0.1", "127.0.0.1", "127.8.8.8", "0.0.0.0", "255.255.255.255", "224.0.0.1"]
        local = lines(subprocess.run([PROBE, "reach", f"tcp:{first}:{OTHER}", f"tcp:11.0.0.1:{OTHER}"], capture_output=True).stdout)
        assert set(local.values()) == {"ok"}, "it listens there"
        # 127.0.0.1 and 0.0.0.0 are the container's own, where only its own listeners are: it has OTHER and PORT, so others are asked for
        own = {"127.0.0.1", "127.8.8.8", "0.0.0.0"}
        targets = [t for a in addresses if a not in own for t in kinds(a, arp=False)]
        targets += [f"{kind}:{a}:{port}" for a in own for port in (22, 80, 8080, 8899, 6379) for kind in ("tcp", "udp")]
        targets += [f"tcp:{mapped}:8080", f"tcp:[2a00:1::1]:{OTHER}", f"udp:[2a00:1::1]:{OTHER}", f"tcp:[::ffff:{first}]:{OTHER}", f"tcp:[64:ff9b::b00:1]:{OTHER}"]
        as_root, as_agent = agents[0].reach(*targets), agents[0].tries(*targets)
        service.kill()
        heard = service.stdout.read().split("\n")
    assert not reached(as_root) and not reached(as_agent)
    assert not [line for line in heard if any(line.endswith(f":{agent.address}") for agent in agents)]


def test_a_suites_own_services_on_the_host_are_not_reached(machine, agents):
    """nginx, the chain's RPC, Redis' port: whatever listens on the host's loopback."""
    ports = (8080, 8899, 6379, PORT)
    services = [subprocess.Popen([PROBE, "listen", str(port)], stdout=subprocess.PIPE, text=True) for port in ports]
    assert all(service.stdout.readline() == "listening\n" for service in services)
    hosts = ["11.0.0.1", agents[0].gateway]
    results = {**agents[0].reach(*[f"tcp:{h}:{p}" for h in hosts for p in ports]), **agents[0].tries(*[f"tcp:{h}:{p}" for h in hosts for p in ports])}
    for service in services:
        service.kill()
        service.wait()
    assert not reached(results)


# ---- between agents


def pairs_reach(agents, of):
    """{(from, to): what got through} over all ordered pairs, all at once."""
    targets = {agent.n: of(agent) for agent in agents}
    for agent in agents:
        agent.heard()

    def probe(agent):
        wanted = [t for other in agents if other is not agent for t in targets[other.n]]
        return {(agent.n, what): result for what, result in reached(agent.reach(*wanted)).items()}

    got = {key: value for found in together(probe, agents) for key, value in found.items()}
    # nor one way only
    own = {agent.address for agent in agents}
    heard = [(agent.n, line) for agent in agents for line in agent.heard() if any(line.split()[-1].endswith(address) for address in own - {agent.address})]
    return got, heard


def test_no_agent_reaches_another_by_any_protocol(agents):
    began = time.monotonic()
    assert len(list(itertools.permutations(agents, 2))) == 90
    assert pairs_reach(agents, lambda agent: kinds(agent.address) + kinds(agent.gateway)) == ({}, [])
    tried = together(lambda agent: agent.tries(*[t for other in agents if other is not agent for t in kinds(other.address, arp=False)]), agents)
    assert len(tried) == AGENTS and all(len(results) == 5 * (AGENTS - 1) for results in tried) and not any(map(reached, tried))
    print(f"90 pairs in {time.monotonic() - began:.1f} s")


def test_agents_listen_to_themselves_so_that_silence_means_the_rules(agents):
    for agent in agents[:2]:
        targets = [f"tcp:127.0.0.1:{PORT}", f"tcp:127.0.0.1:{OTHER}", f"udp:127.0.0.1:{OTHER}", f"tcp:{agent.address}:{PORT}"]
        assert agent.reach(*targets) == dict.fromkeys(targets, "ok")


# ---- inward


def from_host(user, *targets):
    return lines(subprocess.run(["setpriv", f"--reuid={user}", "--clear-groups", "--", PROBE, "reach", *targets], capture_output=True, text=True, check=True).stdout)


def test_only_the_proxys_user_and_root_connect_and_only_to_the_agents_port(agents):
    agent = agents[0]
    wanted = f"tcp:{agent.address}:{PORT}"
    assert from_host("www-data", wanted) == {wanted: "ok"} and get(agent.address, "/healthz")[0] == 200
    others = kinds(agent.address, arp=False)[1:]
    for user in ("nobody", "daemon", str(1 << 30)):
        assert not reached(from_host(user, wanted, *others)), user
    for user in ("www-data", "root"):
        assert not reached(from_host(user, *others)), user


def test_the_world_reaches_no_agent(world, agents):
    world.ip("route", "replace", "10.226.0.0/16", "via", "11.0.0.1")
    targets = [t for agent in agents[:3] for t in kinds(agent.address, arp=False)]
    assert not reached(lines(run_inside(world.holder.pid, PROBE, "reach", *targets)))
    # nor as somebody else: a neighbour, the host, nginx's address
    for spoofed in (agents[1].address, agents[0].gateway):
        world.ip("addr", "add", f"{spoofed}/32", "dev", "lo")
        for agent in agents:
            agent.heard()
        run_inside(world.holder.pid, "ip", "route", "replace", f"{agents[0].address}/32", "via", "11.0.0.1", "src", spoofed)
        assert not reached(lines(run_inside(world.holder.pid, PROBE, "reach", *kinds(agents[0].address, arp=False))))
        assert not agents[0].heard()
        world.ip("addr", "del", f"{spoofed}/32", "dev", "lo")


def test_an_address_rests_before_another_agent_gets_it(world):
    """Few slots: what was decided for an agent a moment ago must not reach the next."""
    rest_s, given = 5, {}
    with ProbeWarden("b4", "10.226.208.0/29", MULTICLAW_WARDEN_QUARANTINE_S=rest_s) as warden:
        client = warden.client()
        for n in itertools.count():
            asked = time.monotonic()
            client.start(agent_id(n), image=warden.probes, files=FILES)
            event = client.wait(STARTED, FAILED, agent=agent_id(n))
            if event.what == FAILED:
                assert "address" in event.text and n < 1000, event
                time.sleep(0.2)
                continue
            was_given = given.get(event.address)
            given[event.address] = time.monotonic()
            client.killed(agent_id(n))
            if was_given:
                assert asked - was_given > rest_s - 0.5
                break
    assert len(given) > 1


# ---- each wall alone


def test_the_hosts_rules_hold_alone_also_for_ipv6(world, agents):
    """With the rules inside gone, IPv6 on, and addresses that would be each other's neighbours: what an agent that became root in its network would do."""
    for agent in agents:
        run_inside(agent.pid, "nft", "flush", "ruleset")
        run_inside(agent.pid, "sh", "-c", "echo 0 | tee /proc/sys/net/ipv6/conf/*/disable_ipv6")
        run_inside(agent.pid, "ip", "-6", "addr", "add", f"fd00:7::{agent.n + 1}/64", "dev", "eth0", "nodad")
        run_inside(agent.pid, "ip", "-6", "route", "replace", "default", "dev", "eth0")
    assert pairs_reach(agents, lambda agent: kinds(agent.address) + kinds(agent.gateway) + [
        f"tcp:[fd00:7::{agent.n + 1}]:{OTHER}", f"udp:[fd00:7::{agent.n + 1}]:{OTHER}", f"icmp:[fd00:7::{agent.n + 1}]"]) == ({}, [])
    agent = agents[0]
    v6 = [f"tcp:[2a00:1::{n}]:{OTHER}" for n in (1, 2)] + ["icmp:[ff02::1%eth0]", "icmp:[2a00:1::1]"]
    targets = [t for address in [*FORBIDDEN, "11.0.0.1", agent.gateway] for t in kinds(address, arp=False)] + v6
    assert not reached(agent.reach(*targets))
    # in a neighbour's name
    run_inside(agent.pid, "ip", "addr", "add", f"{agents[1].address}/32", "dev", "eth0")
    run_inside(agent.pid, "ip", "route", "replace", PUBLIC, "dev", "eth0", "via", agent.gateway, "src", agents[1].address)
    assert not reached(agent.reach(f"tcp:{PUBLIC}:{OTHER}", f"udp:{PUBLIC}:{OTHER}", f"icmp:{PUBLIC}"))
    assert not reached(from_host("nobody", f"tcp:{agent.address}:{PORT}"))


def test_rules_that_vanish_stop_every_agent(warden, agents):
    """As Debian's own nftables.conf does when it is loaded. The last test of this machine's: all are gone after it."""
    began = time.monotonic()
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    client = agents[0].client
    for agent in agents:
        event = client.wait(ENDED, agent=agent.name, timeout=10)
        assert event.was_asked
    print(f"stopped {time.monotonic() - began:.2f} s after the rules went")
    for agent in agents:
        assert client.wait(GONE, agent=agent.name).text == ""

    def starts():
        client.start(agents[0].name, image=warden.probes, files=FILES)
        return client.wait(STARTED, FAILED, agent=agents[0].name).what == STARTED

    wait_until("rules are back", starts, every=0.3)
