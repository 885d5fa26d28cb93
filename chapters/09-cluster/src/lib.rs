//! Chapter 9: the distribution: one binary that is any node role, and the lab.
