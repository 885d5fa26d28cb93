//! Whole-cluster tests: real binaries, real clients.
