//! Random numbers that need not be secret: file salts and lease ids.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A random number. Each `RandomState` has keys of its own, drawn from the operating system.
pub fn u64() -> u64 {
    RandomState::new().build_hasher().finish()
}
