//! Transcripts: what a reader types and sees, as a file that is played.
//!
//! ```text
//! # Comments stay.
//! $ kubectl create deployment web --image=workshop/echo
//! deployment.apps/web created
//! ```
//!
//! A line that begins with `$ ` is a command, continued by lines that begin with `> `; what
//! follows up to the next command, comment or empty line is its output. (An output's own empty
//! lines are shown as `·`.)

/// Plays a transcript: runs each command and puts what it says in the place of what was recorded.
pub fn play(recorded: &str, mut run: impl FnMut(&str) -> String) -> String {
    let mut played = String::new();
    let mut lines = recorded.lines().peekable();
    while let Some(line) = lines.next() {
        played.push_str(line);
        played.push('\n');
        let Some(first) = line.strip_prefix("$ ") else {
            continue;
        };
        let mut command = first.to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with("> ")) {
            played.push_str(more);
            played.push('\n');
            command.push('\n');
            command.push_str(&more[2..]);
        }
        while lines.next_if(|line| is_output(line)).is_some() {}
        for line in run(&command).lines() {
            let line = line.trim_end();
            played.push_str(if line.is_empty() { "·" } else { line });
            played.push('\n');
        }
    }
    played
}

fn is_output(line: &str) -> bool {
    !(line.is_empty() || line.starts_with("$ ") || line.starts_with("# "))
}

/// The lines that differ, each with the command that they belong to; `None` when none do.
pub fn difference(recorded: &str, played: &str) -> Option<String> {
    let blocks = |text: &str| -> Vec<String> {
        text.split("\n$ ")
            .map(|block| block.trim_end().to_owned())
            .collect()
    };
    let (recorded, played) = (blocks(recorded), blocks(played));
    let mut difference = String::new();
    for (was, is) in recorded.iter().zip(&played).filter(|(was, is)| was != is) {
        difference += &format!("$ {}\n", is.lines().next().unwrap_or_default());
        let (was, is): (Vec<&str>, Vec<&str>) = (was.lines().collect(), is.lines().collect());
        was.iter()
            .filter(|line| !is.contains(line))
            .for_each(|line| {
                difference += &format!("- {line}\n");
            });
        is.iter()
            .filter(|line| !was.contains(line))
            .for_each(|line| {
                difference += &format!("+ {line}\n");
            });
    }
    (!difference.is_empty()).then_some(difference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_takes_the_place_of_what_was_recorded() {
        let recorded = "# why\n\n$ echo a\nold\nolder\n\n$ cat <<E\n> x\n> E\n";
        let played = play(recorded, |command| match command {
            "echo a" => "new\n\nline".into(),
            "cat <<E\nx\nE" => "x".into(),
            other => panic!("{other}"),
        });
        assert_eq!(
            played,
            "# why\n\n$ echo a\nnew\n·\nline\n\n$ cat <<E\n> x\n> E\nx\n"
        );
        assert_eq!(play(&played, |_| "x".into()).matches('·').count(), 0);
        assert_eq!(difference(&played, &played), None);
        let difference = difference(recorded, &played).unwrap();
        assert!(
            difference.contains("$ echo a") && difference.contains("- old"),
            "{difference}"
        );
    }
}
