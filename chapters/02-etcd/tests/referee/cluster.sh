etcdctl member list | cut -d, -f2,3,6
etcdctl member list -w json | cut -d, -f1,2,3
etcdctl member add other
etcdctl member add other --peer-urls nonsense
etcdctl member add other --peer-urls http://127.0.0.1
etcdctl member remove 7b
etcdctl member remove $(etcdctl member list | cut -d, -f1)
etcdctl member update 7b --peer-urls http://127.0.0.1:1
etcdctl member promote 7b
etcdctl member promote $(etcdctl member list | cut -d, -f1)
