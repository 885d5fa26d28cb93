//! Playing: every command runs, and what it says takes the place of what was recorded.

/// Stands before a line of output that is empty or would be taken for something else.
pub(crate) const MARK: char = '·';

/// Plays a transcript: `run` gets each command, and returns its output with stand-ins in it.
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
            if !is_output(line) || line.starts_with("> ") {
                played.push(MARK);
            }
            played.push_str(line);
            played.push('\n');
        }
    }
    played
}

fn is_output(line: &str) -> bool {
    !(line.is_empty() || line.starts_with("$ ") || line.starts_with("# "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_takes_the_place_of_what_was_recorded() {
        let recorded = "# why\n\n$ echo a\nold\nolder\n\n# ANCHOR: b\n$ cat <<E\n> x\n> E\n";
        let played = play(recorded, |command| match command {
            "echo a" => "new\n\n# line".into(),
            "cat <<E\nx\nE" => "> x".into(),
            other => panic!("{other}"),
        });
        assert_eq!(
            played,
            "# why\n\n$ echo a\nnew\n·\n·# line\n\n# ANCHOR: b\n$ cat <<E\n> x\n> E\n·> x\n"
        );
        // What was played can be played: marked lines are output, and go when it is said anew.
        assert_eq!(play(&played, |_| "x".into()).matches(MARK).count(), 0);
    }
}
