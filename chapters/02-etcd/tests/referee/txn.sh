# Every target and operator.
etcdctl put k v
printf 'value("k") = "v"\n\nput x 1\nget k\ndel none\n\nput x 2\n\n' | etcdctl txn
printf 'value("k") != "v"\n\nput x 1\n\nget x\nget k\n\n' | etcdctl txn
printf 'version("k") > "0"\ncreate("k") < "3"\nmod("k") = "2"\n\nget k\n\n\n' | etcdctl txn -w json
printf 'value("missing") != "x"\n\nget k\n\nget x\n\n' | etcdctl txn
printf 'value("missing") < "x"\n\nget k\n\nget x\n\n' | etcdctl txn
printf 'mod("k") = "99"\n\n\n\n' | etcdctl txn -w fields
printf '\nput a 1 --prev-kv\nput b 2\n\n\n' | etcdctl txn -w fields
printf '\nget a b\ndel "" --prefix --prev-kv\n\n\n' | etcdctl txn
etcdctl get '' --prefix

# What is refused.
printf '\nput a 1\nput a 2\n\n\n' | etcdctl txn
printf '\nput a 1\ndel a\n\n\n' | etcdctl txn
printf '\ndel a\ndel a b\n\n\n' | etcdctl txn
printf '\nput b 1 --ignore-value\n\n\n' | etcdctl txn
printf '\nput b 1 --lease 7b\n\n\n' | etcdctl txn
printf '\nget b --rev 99\n\n\n' | etcdctl txn
printf '\nput "" 1\n\n\n' | etcdctl txn
{ echo; for i in $(seq 129); do echo "put k$i v"; done; printf '\n\n'; } | etcdctl txn
{ echo; for i in $(seq 128); do echo "put k$i v"; done; printf '\n\n'; } | etcdctl txn | uniq -c
