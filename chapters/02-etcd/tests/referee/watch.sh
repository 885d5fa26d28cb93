# History, in every form.
etcdctl put a 1
etcdctl put a 2
etcdctl put b 1
etcdctl del a
etcdctl put a 3
hear 12 a --rev 2
hear 13 a --rev 3 --prev-kv
hear 9 '' --prefix --rev 4
hear 3 b c --rev 2
hear 6 a b --rev 5
hear 1 a --rev 2 -w json
hear 12 a --rev 5 -w fields
printf '\nput x 1\nput y 2\ndel b\n\n\n' | etcdctl txn
hear 1 '' --prefix --rev 7 --prev-kv -w json

# What comes after.
(etcdctl put later 1; etcdctl put later 2) >puts & hear 6 later --rev 8; wait

# What was compacted away.
etcdctl compaction 5
timeout 10 etcdctl watch a --rev 3
timeout 10 etcdctl watch a --rev 3 -w json
timeout 10 etcdctl watch '' --prefix --rev 4
hear 3 a --rev 6
