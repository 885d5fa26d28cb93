//! The checks of chapter 3's exercises and of its planted bugs.

#[path = "exercises/bugs.rs"]
mod bugs;
#[path = "exercises/custom.rs"]
mod custom;
#[path = "exercises/evictions.rs"]
mod evictions;
#[path = "exercises/patches.rs"]
mod patches;
#[path = "exercises/reads.rs"]
mod reads;
#[path = "exercises/requests.rs"]
mod requests;
#[path = "exercises/rights.rs"]
mod rights;
#[path = "exercises/writes.rs"]
mod writes;

#[allow(dead_code, reason = "the server's own test uses all of it")]
mod support;
