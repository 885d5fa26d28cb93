//! Chapter 6: Services, the pod network and cluster DNS on every node.
