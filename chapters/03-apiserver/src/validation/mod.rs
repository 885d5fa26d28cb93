//! Validation.

pub mod names;
