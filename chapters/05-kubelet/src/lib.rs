//! Chapter 5: pods become containers.
pub mod runtime;
