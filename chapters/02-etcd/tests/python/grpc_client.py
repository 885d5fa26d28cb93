"""Python's etcd3, which speaks gRPC: a session against the server at argv[1]."""

import sys

import etcd3

host, port = sys.argv[1].split(":")
client = etcd3.client(host=host, port=int(port))

client.put("/pods/a", "1")
client.put("/pods/b", "2")
value, meta = client.get("/pods/a")
print("get", value, meta.version, meta.mod_revision)
print("prefix", [(meta.key, value) for value, meta in client.get_prefix("/pods/")])
print("missing", client.get("/pods/c"))

print("replace", client.replace("/pods/a", "1", "3"), client.replace("/pods/a", "1", "4"))
succeeded, answers = client.transaction(
    compare=[client.transactions.version("/pods/a") > 1],
    success=[client.transactions.get("/pods/a")],
    failure=[],
)
print("transaction", succeeded, answers[0][0][0])

events, cancel = client.watch_prefix("/pods/", start_revision=2)
told = [next(events) for _ in range(3)]
print("watch", [(type(event).__name__, event.key, event.value) for event in told])
cancel()

lease = client.lease(600)
client.put("/leases/a", "x", lease)
print("lease", [answer.TTL for answer in lease.refresh()], lease.granted_ttl, lease.keys)
lease.revoke()
print("revoked", client.get("/leases/a"))

# A lock is a lease, a transaction and a watch.
with client.lock("work", ttl=60) as lock:
    print("lock", lock.is_acquired(), client.get("/locks/work")[0] == lock.uuid)
print("released", client.get("/locks/work"))

print("deleted", client.delete_prefix("/pods/").deleted)
client.compact(client.get_response("/pods/a").header.revision)
try:
    events, cancel = client.watch("/pods/a", start_revision=1)
    next(events)
except etcd3.exceptions.RevisionCompactedError as error:
    print("compacted", error.compacted_revision)
print("members", len(list(client.members)))
