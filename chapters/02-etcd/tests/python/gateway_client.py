"""Python's etcd3gw, which speaks JSON over HTTP/1: a session against the server at argv[1]."""

import sys

import etcd3gw

host, port = sys.argv[1].split(":")
client = etcd3gw.client(host=host, port=int(port))
# Its older versions ask for an etcd of 2018 unless told otherwise.
client.api_path = "/v3/"

print("put", client.put("/pods/a", "1"), client.put("/pods/b", "2"))
print("get", client.get("/pods/a"), client.get("/pods/c"))
print("prefix", [(meta["key"], value) for value, meta in client.get_prefix("/pods/")])
print("create", client.create("/pods/a", "2"), client.create("/pods/c", "3"))
print("replace", client.replace("/pods/c", "3", "4"), client.replace("/pods/c", "3", "5"))

events, cancel = client.watch_prefix("/pods/", start_revision=2)
told = [next(events)["kv"] for _ in range(4)]
print("watch", [(kv["key"], kv["value"]) for kv in told])
cancel()

lease = client.lease(600)
client.put("/leases/a", "x", lease=lease)
print("lease", lease.refresh(), 590 < lease.ttl() <= 600, lease.keys())
lease.revoke()
print("revoked", client.get("/leases/a"))

with client.lock("work", ttl=60) as lock:
    print("lock", lock.is_acquired(), client.lock("work", ttl=60).acquire())

print("deleted", client.delete("/pods/a"), client.delete("/pods/a"))
print("status", client.status()["version"].startswith("3."), len(client.members()))
