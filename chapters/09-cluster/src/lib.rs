//! Chapter 9: the distribution: one binary that is any node role, and the lab.
//!
//! A distribution of Kubernetes takes components that know nothing of each other but the API, and
//! starts them with flags and identities that fit together. [`role`] is the first half: each
//! component is a subcommand of one program (`cluster apiserver …`), as k3s does it, so that one
//! file is a whole cluster. [`lab`] is the second: it makes machines out of namespaces, identities
//! out of a certificate authority, and keeps it all running.
//!
//! Upstream: `kubeadm` makes certificates and kubeconfigs, a machine's systemd keeps the kubelet
//! running, and the kubelet the control plane, from static pods. Here the node's process 1
//! ([`lab::node_init`]) starts them all.

pub mod image;
pub mod lab;
pub mod pause;
pub mod role;
