# Puts and gets, with every flag, in every form of output.
etcdctl compaction 0
etcdctl compaction 0
etcdctl put a 1
etcdctl put a 2 --prev-kv
etcdctl put b 2
etcdctl put b --ignore-value
etcdctl put c 3
etcdctl put ab x
etcdctl put '' x
etcdctl put new --ignore-value
etcdctl put a -- -minus-
printf 'from the input' | etcdctl put in
etcdctl get in
etcdctl get a
etcdctl get a -w json
etcdctl get a -w fields
etcdctl get a --hex
etcdctl get a -w protobuf | tail -c 13 | od -An -c
etcdctl get a b
etcdctl get a c -w json
etcdctl get a --prefix
etcdctl get '' --prefix --keys-only
etcdctl get b --from-key
etcdctl get b --from-key --prefix
etcdctl get '' --from-key --limit 2 -w json
etcdctl get a --rev 2
etcdctl get a --rev 99
etcdctl get a --consistency s
etcdctl get '' --prefix --sort-by MODIFY --order DESCEND --keys-only
etcdctl get '' --prefix --sort-by VERSION --keys-only
etcdctl get '' --prefix --sort-by CREATE --order ASCEND --limit 2 --keys-only
etcdctl get '' --prefix --sort-by VALUE --order DESCEND --print-value-only
etcdctl get '' --prefix --sort-by KEY --order DESCEND --limit 1 -w json
etcdctl get none
etcdctl get none -w json
etcdctl get none -w fields

# Deletions.
etcdctl del none
etcdctl del a --prev-kv
etcdctl del ab c --prev-kv -w json
etcdctl del '' --prefix -w fields
etcdctl del '' --from-key
etcdctl get '' --prefix -w json
etcdctl del ''

# Compaction.
etcdctl put k 1
etcdctl put k 2
etcdctl compaction 99
etcdctl compaction 11
etcdctl compaction 11
etcdctl compaction 12 --physical
etcdctl get k --rev 11
etcdctl get k --rev 12 -w json
etcdctl get k -w json

# What is too large is refused.
head -c 1572864 /dev/zero | tr '\0' x | etcdctl put big | cut -c 1-200
head -c 1572800 /dev/zero | tr '\0' x | etcdctl put big
