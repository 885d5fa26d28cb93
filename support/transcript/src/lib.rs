//! Console sessions as files: what a reader types, and what is then seen.
//!
//! ```text
//! # on: lab
//! # Comments are for whoever edits the file; the book leaves them out.
//!
//! $ kubectl create deployment web --image=workshop/echo
//! deployment.apps/web created
//! ```
//!
//! The first line says on what the file is played ([`Stage`]). A line that begins with `$ ` is a
//! command, continued by lines that begin with `> `; what follows, up to the next command, comment
//! or empty line, is its output. An output's line that would be taken for one of these has a `·`
//! before it, and so has an empty one.
//!
//! [`play`] runs the commands and puts what they say in the place of what was recorded; a test
//! compares the two ([`difference`]). What differs from run to run is replaced by a stand-in, by
//! one of the rules of [`mask`], so the files stay the same and are still pleasant to read. The
//! book shows [`shown`]: the session alone.

pub mod compare;
mod difference;
pub mod mask;
mod player;
mod rules;
mod table;

pub use difference::difference;
pub use player::play;
pub use rules::{RULES, Rule};

/// What a transcript is played on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A lab with two workers, which runs already. It is the file's own.
    Lab,
    /// A Docker engine, shared with others.
    Engine,
    /// The programs of this workspace, and no lab.
    Host,
    /// As [`Stage::Host`], with a folder and an address for a store of chapter 2, and `etcdctl`.
    Store,
    /// A lab with one worker on three etcd members, of which etcd-1 leads. The one that leads next
    /// is called etcd-2.
    Members,
}

impl Stage {
    /// What the first line of a transcript says; `None` when it says nothing that is known.
    pub fn of(transcript: &str) -> Option<Self> {
        let name = transcript.lines().next()?.strip_prefix("# on: ")?;
        match name.trim() {
            "lab" => Some(Self::Lab),
            "engine" => Some(Self::Engine),
            "host" => Some(Self::Host),
            "store" => Some(Self::Store),
            "members" => Some(Self::Members),
            _ => None,
        }
    }
}

/// The lines of a transcript as the book shows them: without comments, one empty line between
/// commands, outputs without their marks.
pub fn shown<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    let mut shown: Vec<&str> = Vec::new();
    for line in lines {
        if line.starts_with("# ") || (line.is_empty() && shown.last().is_none_or(|l| l.is_empty()))
        {
            continue;
        }
        shown.push(line);
    }
    while shown.last().is_some_and(|line| line.is_empty()) {
        shown.pop();
    }
    let unmarked = |line: &str| line.strip_prefix(player::MARK).unwrap_or(line).to_owned() + "\n";
    shown.into_iter().map(unmarked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_stage() {
        assert_eq!(Stage::of("# on: lab\n\n$ true\n"), Some(Stage::Lab));
        assert_eq!(Stage::of("# on: moon\n"), None);
        assert_eq!(Stage::of("$ true\n# on: lab\n"), None);
    }

    #[test]
    fn the_book_shows_the_session_alone() {
        let text = "# on: host\n\n# why\n\n$ echo; echo '# a'\n·\n·# a\n\n# ANCHOR: x\n$ true\n\n";
        assert_eq!(shown(text.lines()), "$ echo; echo '# a'\n\n# a\n\n$ true\n");
    }
}
