"""The providers' own SDKs, unchanged but for base URL and key, through the gateway: here on this machine, from the address of an agent."""

import os
import shutil
import subprocess

import pytest

from sdk_parts import SCRIPT, SdkGateways, check_results, check_sent, environment, installed, results
from suite import wait_until
from vault_parts import owner, own, random_key  # noqa: F401

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")


@pytest.fixture(scope="module")
def v():
    made = SdkGateways()
    try:
        yield made.start()
    finally:
        made.stop()


def run(v, container, *steps):
    done = subprocess.run(["node", SCRIPT, *steps], env={"PATH": os.environ["PATH"], **environment(container.address, v.port, container.token)},
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return results(done.stdout)


def test_the_sdks_work_through_the_gateway(v, owner):
    installed()
    keys = {"openai": random_key("sk-proj-"), "anthropic": random_key("sk-ant-api03-")}
    for name, key in keys.items():
        v.put(owner.token, "llm", name, key)
    # who calls without asking for an address of its own calls from this one
    container = v.container(owner, "127.0.0.1")
    got = run(v, container)
    check_results(got)
    check_sent(v.provider, keys, container.token)
    assert not any(key in str(got) or key in v.gateway_log() for key in keys.values())
    # what an SDK gives up ends upstream as well
    for step in ("openai_abort", "anthropic_abort"):
        v.provider.broken.clear()
        assert run(v, container, step)[step]["events"] >= 3
        assert v.provider.broken.wait(5), step
    wait_until("nothing is under way", lambda: v.metrics()["multiclaw_gateway_streams"] == 0, 5)


def test_an_sdk_is_told_that_there_is_no_key(v, owner):
    installed()
    got = run(v, v.container(owner, "127.0.0.1"), "openai_error", "anthropic_error")
    for result in got.values():
        assert (result["kind"], result["status"], result["code"]) == ("PermissionDeniedError", 403, "key_not_available"), result
