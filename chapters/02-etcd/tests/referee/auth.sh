etcdctl user list
etcdctl user list -w json
etcdctl role list
etcdctl role list -w fields
etcdctl user get root
etcdctl user delete root
etcdctl user grant-role root root
etcdctl user revoke-role root root
etcdctl role get root
etcdctl role delete root
etcdctl role grant-permission root read key
etcdctl role revoke-permission root key
echo secret | etcdctl user passwd root --interactive=false
etcdctl auth enable
etcdctl auth disable
etcdctl --user root:secret get a
