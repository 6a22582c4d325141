"""OpenStack Swift, whole and real, as an S3-speaking storage in one folder: checks signatures (version 4), checksums, and knows multipart uploads.

Run by store_parts: swift_server.py FOLDER PORT KEY_ID SECRET. One process; account, container and object servers listen on loopback beside the proxy.
"""

import pathlib
import socket
import sys

import eventlet

eventlet.monkey_patch()

import eventlet.wsgi  # noqa: E402
import swift.common.storage_policy as policies  # noqa: E402
import swift.common.utils as utils  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.utils import NullLogger  # noqa: E402
from swift.common.wsgi import SwiftHttpProtocol, loadapp  # noqa: E402
from swift.common.storage_policy import reload_storage_policies  # noqa: E402

PROXY = """
[DEFAULT]
swift_dir = {folder}
[pipeline:main]
pipeline = catch_errors gatekeeper listing_formats s3api tempauth slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = test-region
storage_domain = s3.localhost
allow_multipart_uploads = true
check_bucket_owner = false
[filter:tempauth]
use = egg:swift#tempauth
user_{account}_{user} = {secret} .admin
[filter:slo]
use = egg:swift#slo
"""
STORAGE = """
[DEFAULT]
devices = {folder}/devices
mount_check = false
swift_dir = {folder}
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""


class Cache:
    """What memcached is to Swift, in this process."""

    def __init__(self):
        self.values = {}

    def get(self, key, raise_on_error=False):
        return self.values.get(key)

    def set(self, key, value, **_):
        self.values[key] = value

    def delete(self, key, **_):
        self.values.pop(key, None)

    def incr(self, key, delta=1, **_):
        self.values[key] = max(0, int(self.values.get(key) or 0) + delta)
        return self.values[key]


def cached(app):
    cache = Cache()

    def call(env, start_response):
        env["swift.cache"] = cache
        return app(env, start_response)

    return call


def listen(port=0):
    return eventlet.listen(("127.0.0.1", port))


def main(folder, port, key_id, secret):
    folder = pathlib.Path(folder)
    (folder / "devices/d1").mkdir(parents=True, exist_ok=True)
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = tests\n")
    utils.SWIFT_CONF_FILE = str(folder / "swift.conf")
    utils.HASH_PATH_SUFFIX = b"tests"
    policies.SWIFT_CONF_FILE = utils.SWIFT_CONF_FILE
    reload_storage_policies()
    listeners = {kind: listen() for kind in ("account", "container", "object")}
    for kind, listener in listeners.items():
        builder = RingBuilder(4, 1, 1)
        builder.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1, "ip": "127.0.0.1", "port": listener.getsockname()[1], "device": "d1", "meta": ""})
        builder.rebalance(seed="1")
        builder.get_ring().save(str(folder / f"{kind}.ring.gz"))
    account, user = key_id.split(":")
    servers = []
    for kind, listener in listeners.items():
        (folder / f"{kind}.conf").write_text(STORAGE.format(folder=folder, kind=kind))
        app = loadapp(str(folder / f"{kind}.conf"))
        servers.append((listener, app))
    (folder / "proxy.conf").write_text(PROXY.format(folder=folder, account=account, user=user, secret=secret))
    servers.append((listen(int(port)), cached(loadapp(str(folder / "proxy.conf")))))
    threads = [
        eventlet.spawn(eventlet.wsgi.server, listener, app, log_output=False, protocol=SwiftHttpProtocol, log=NullLogger(), max_size=1000)
        for listener, app in servers
    ]
    print("ready", flush=True)
    threads[-1].wait()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
