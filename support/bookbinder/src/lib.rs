//! The book's binder: mdBook as a library, with a preprocessor of the workshop's own.
//!
//! The book is not typed but gathered: its listings are the crates' own lines, its console
//! sessions and traces are recorded runs that tests repeat, its pictures are drawn from text. The
//! binder gathers them, and refuses to build a book in which one of them is missing, by file and
//! line ([`Problem`]).
//!
//! What a page may say, beside Markdown:
//!
//! | on the page | becomes |
//! | --- | --- |
//! | `{{#include ../../chapters/…/file.rs:anchor}}` | the lines between `ANCHOR: anchor` and `ANCHOR_END: anchor`, in a code block |
//! | `{{#include ../../chapters/…/file.md}}` | a text that a test makes, as it is |
//! | ` ```console ` with an `{{#include ../transcripts/NN-name.txt}}` | a session that a test plays; a `:anchor` shows a part of it |
//! | ` ```console ` with commands only | commands; no output may be typed |
//! | ` ```rust,fragment ` | Rust that is nobody's code, longer than five lines |
//! | ` ```picture What it shows ` | a picture, drawn from box-drawing characters ([`picture`]) |
//! | `{{#trace NN-name}}` | `book/traces/NN-name.svg`, which a test replays by its `.trace`, and its text folded below it |
//! | `{{#takes 45}}` | how many minutes the page takes; those of its exercises are added |
//! | `{{#times}}` | what each chapter takes, and the sum |
//!
//! Read [`bind`] first: it walks a page and calls the rest.

pub mod bind;
mod exercises;
mod fence;
pub mod files;
mod include;
mod links;
pub mod picture;
pub mod serve;
mod summary;
mod times;
mod trace;

use std::fmt;
use std::path::PathBuf;

/// Why the book cannot be built: what is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, from the workspace's folder.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}
