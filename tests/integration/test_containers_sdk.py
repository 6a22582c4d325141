"""The providers' own SDKs in a real container, which has nothing of its owner's keys. The test plays sandbox. The gateway stands where a
container may go without any rule for it, at a public address, and sees the container by its host's."""

import json

import pytest

from container_parts import FILES, ip, network_of_our_own
from sdk_parts import SdkGateways, check_results, check_sent, environment, node_image, results
from vault_parts import owner, own, random_key  # noqa: F401
from warden_parts import Warden, agent_id

pytestmark = pytest.mark.usefixtures("containers")
PREFIX, HOST, PUBLIC = "b7", "11.0.0.1", "5.5.5.5"


@pytest.fixture(scope="module")
def v(containers):
    """In a network that is the world, behind the one that warden has for its host."""
    with network_of_our_own():
        made = SdkGateways()
        try:
            yield made.start()
        finally:
            made.stop()


@pytest.fixture(scope="module")
def warden(v):
    made = Warden(PREFIX, "10.226.208.0/20")
    made.node = node_image(made.state)
    with network_of_our_own():
        ip("link", "add", "uplink", "type", "veth", "peer", "name", "eth0", "netns", v.processes["llm-gateway-1"].pid)
        ip("addr", "add", f"{HOST}/24", "dev", "uplink")
        ip("link", "set", "uplink", "up")
        ip("route", "add", "default", "via", "11.0.0.2")
        made.start()
    ip("addr", "add", "11.0.0.2/24", "dev", "eth0")
    ip("link", "set", "eth0", "up")
    ip("addr", "add", f"{PUBLIC}/32", "dev", "lo")
    yield made
    made.__exit__()


class Inside:
    """An agent in a container of its own, admitted at the address that its host's way out gives it."""

    def __init__(self, v, warden, owner):
        self.v, self.client, self.name = v, warden.client(), agent_id(owner.asset)
        self.client.started(self.name, image=warden.node, files=FILES, memory=1 << 30, pids=256)
        self.admission = v.admission(owner, HOST)
        self.token = self.admission["token"]
        assert v.tell("admit", **self.admission) == {"port": v.port}

    def run(self, *steps):
        """sdk.mjs as the agent's own user."""
        told = " ".join(f"{name}={value}" for name, value in environment(PUBLIC, self.v.port, self.token).items())
        done = self.client.exec(self.name, "/bin/sh", "-c", f"{told} exec node /sdk/sdk.mjs {' '.join(steps)}", timeout_ms=60000)
        assert done.status == 0, (done.why, done.output)
        return results(done.output.decode())

    def end(self):
        self.v.tell("leave", agent=self.admission["agent"], boot_id=self.admission["boot_id"])
        self.client.killed(self.name)


def test_the_sdks_work_in_a_container(v, warden, owner):
    keys = {"openai": random_key("sk-proj-"), "anthropic": random_key("sk-ant-api03-")}
    for name, key in keys.items():
        v.put(owner.token, "llm", name, key)
    agent = Inside(v, warden, owner)
    got = agent.run()
    check_results(got)
    check_sent(v.provider, keys, agent.token)
    assert not any(key in json.dumps(got) for key in keys.values())
    agent.end()
