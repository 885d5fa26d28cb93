for i in 1 2 3; do etcdctl put k$i v$i; done
printf '\nput t1 1\nput t2 2\ndel k1\n\n\n' | etcdctl txn
etcdctl endpoint hashkv -w json
etcdctl compaction 4
etcdctl endpoint hashkv -w json
etcdctl endpoint hashkv --rev 3
etcdctl endpoint hashkv --rev 99
etcdctl del '' --prefix
etcdctl put again 1
etcdctl endpoint hashkv -w json
etcdctl compaction 7
etcdctl endpoint hashkv -w json

etcdctl endpoint health
etcdctl endpoint status -w json
etcdctl endpoint status -w fields
etcdctl endpoint status | cut -d, -f1,5
etcdctl alarm list
etcdctl alarm disarm
etcdctl defrag
etcdctl get again
etcdctl move-leader 7b
etcdctl snapshot save saved
test -s saved
