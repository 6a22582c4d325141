"""podman run with a bridge, in a network and with folders of its own that go with this process: a line in, milliseconds to the first byte out.

    unshare --mount --net --propagation private podman.py ROOTFS SECRETS PROGRAM PORT
"""

import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from first_byte import first_byte  # noqa: E402

PODMAN = ["podman", "--cgroup-manager", "cgroupfs", "--runtime", "runc", "--events-backend", "none"]


def run(rootfs, secrets, program, port, address):
    # limits above this host's own would fail
    command = [*PODMAN, "run", "--detach", "--network", "bridge", "--ip", address, "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--volume", f"{secrets}:/run/secrets:ro",
               "--rootfs", rootfs, program]
    process, ms = first_byte(command, address, int(port), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    why = process.communicate()[1]
    assert process.returncode == 0, why
    subprocess.run([*PODMAN, "rm", "--all", "--force", "--time", "0"], check=True, capture_output=True)
    return ms


def main():
    for folder in ("/run", "/var/lib"):
        subprocess.run(["mount", "-t", "tmpfs", "bench", folder], check=True)
    for folder in ("/run/lock", "/run/netns", "/var/lib/cni"):
        pathlib.Path(folder).mkdir(parents=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for number, _ in enumerate(sys.stdin):
        try:
            print(f"{run(*sys.argv[1:], f'10.88.0.{10 + number % 200}'):.3f}", flush=True)
        except AssertionError as e:
            print("failed:", re.sub(r"\s+", " ", str(e))[:200], flush=True)


if __name__ == "__main__":
    main()
