//! Chapter 4: pods get nodes.
