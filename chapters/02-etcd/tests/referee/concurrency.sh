# What clients build of leases, transactions and watches.
etcdctl lock mine echo held
etcdctl get mine --prefix
etcdctl lock mine -- sh -c 'etcdctl get mine --prefix | sed s,mine/.*,mine/LEASE,'
etcdctl elect leader me >elected & ELECT=$!; hear 3 leader --prefix --rev 2
etcdctl elect leader --listen >listened & LISTEN=$!; until [ -s listened ]; do sleep 0.1; done; kill $LISTEN $ELECT
sed s,leader/.*,leader/LEASE, listened

# A copy of some keys under another name.
etcdctl put from/a 1
etcdctl make-mirror --prefix from/ --dest-prefix to/ $ETCDCTL_ENDPOINTS & MIRROR=$!
hear 3 to/a --rev 2
etcdctl put from/b 2
hear 3 to/b --rev 2
etcdctl del from/a
hear 6 to/a --rev 2
kill $MIRROR
etcdctl get to/ --prefix
