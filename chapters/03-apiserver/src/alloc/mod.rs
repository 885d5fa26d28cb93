//! Allocators.
