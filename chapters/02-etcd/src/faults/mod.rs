//! The store against a disk that fails: at every step, in every way.
//!
//! - [`disk`], [`content`]: a disk in memory, that can fail or lose its power at any step;
//!   [`premises`] says what is presumed of it.
//! - [`script`]: what is asked of the store, and what it must then be, whatever happened.
//! - [`sweep`]: the script, once for every step and every fault.
//! - [`log`]: the log alone, cut and flipped at every byte.
//! - [`bounds`]: what is left on a disk and in memory after very many writes.
//! - [`fuzz`]: bytes that nobody wrote, for every decoder.

mod bounds;
mod content;
mod disk;
mod fuzz;
mod log;
mod premises;
mod script;
mod sweep;
