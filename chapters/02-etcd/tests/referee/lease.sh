etcdctl lease list
etcdctl put a 1 --lease 4d2
etcdctl lease timetolive 4d2
etcdctl lease timetolive 4d2 -w json
etcdctl lease revoke 4d2
etcdctl lease keep-alive 4d2 --once
etcdctl lease grant 0
etcdctl lease grant -- -5
etcdctl lease grant 9000000001
etcdctl lease grant x
lease 600
etcdctl lease list | head -n 1
etcdctl put a 1 --lease $LEASE
# Of several keys etcd says them in any order.
etcdctl get a -w json
etcdctl get a -w fields
etcdctl put a 2 --ignore-lease
etcdctl lease timetolive $LEASE --keys
etcdctl put b 2
etcdctl put b --ignore-value --ignore-lease
etcdctl lease timetolive $LEASE --keys -w json
etcdctl lease timetolive $LEASE -w fields
etcdctl lease keep-alive $LEASE --once
etcdctl lease keep-alive $LEASE --once -w json
etcdctl lease revoke $LEASE -w json
etcdctl get '' --prefix -w json
hear 3 '' --prefix --rev 6
etcdctl lease timetolive $LEASE
lease 1
etcdctl put short 1 --lease $LEASE
hear 6 short --rev 7
etcdctl lease timetolive $LEASE
