//! Known classes of attacks on API servers, one by one: what was wrong upstream once is right here.

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

#[path = "safety/backends.rs"]
mod backends;
#[path = "safety/bodies.rs"]
mod bodies;
#[path = "safety/connections.rs"]
mod connections;
#[path = "safety/rights.rs"]
mod rights;
