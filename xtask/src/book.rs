//! `cargo xtask book`: hands over to the book's binder, which is built only for this.

use std::ffi::OsString;

use anyhow::Result;

use crate::build::{cargo, hand_over, root};

/// Becomes the binder.
pub fn run(args: &[OsString]) -> Result<()> {
    let mut binder = cargo();
    binder
        .args(["run", "--quiet", "--package", "bookbinder", "--"])
        .args(args)
        .current_dir(root());
    hand_over(&mut binder)
}
