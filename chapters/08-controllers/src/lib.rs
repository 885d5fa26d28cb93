//! Chapter 8: what kube-controller-manager does.
