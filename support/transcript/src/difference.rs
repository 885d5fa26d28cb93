//! How a transcript that plays otherwise is reported: command by command, line by line.

/// What differs, below the command that it belongs to: `-` was recorded, `+` was played; `None`
/// when nothing does.
pub fn difference(recorded: &str, played: &str) -> Option<String> {
    let blocks = |text: &str| -> Vec<String> {
        let blocks = text.trim_end().split("\n$ ");
        blocks.map(|block| block.trim_end().to_owned()).collect()
    };
    let (recorded, played) = (blocks(recorded), blocks(played));
    let mut difference = String::new();
    for (was, is) in recorded.iter().zip(&played).filter(|(was, is)| was != is) {
        let (was, is): (Vec<&str>, Vec<&str>) = (was.lines().collect(), is.lines().collect());
        difference += &format!("$ {}\n", is.first().unwrap_or(&""));
        for line in lines(&was[1.min(was.len())..], &is[1.min(is.len())..]) {
            difference += &(line + "\n");
        }
        difference.push('\n');
    }
    (!difference.is_empty()).then_some(difference)
}

/// The lines of both, each once: those of the longest common subsequence as they are.
fn lines(was: &[&str], is: &[&str]) -> Vec<String> {
    // common[i][j]: how many lines was[i..] and is[j..] have in common, in order.
    let mut common = vec![vec![0_usize; is.len() + 1]; was.len() + 1];
    for i in (0..was.len()).rev() {
        for j in (0..is.len()).rev() {
            common[i][j] = if was[i] == is[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < was.len() || j < is.len() {
        if i < was.len() && j < is.len() && was[i] == is[j] {
            lines.push(format!("  {}", was[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == is.len() || (i < was.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(format!("- {}", was[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", is[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_command_and_the_lines() {
        let recorded = "# on: host\n\n$ true\n\n$ seq 3\n1\n2\n3\n";
        assert_eq!(difference(recorded, recorded), None);
        assert_eq!(
            difference(recorded, &recorded.replace("2\n", "two\n")).unwrap(),
            "$ seq 3\n  1\n- 2\n+ two\n  3\n\n"
        );
        // The same lines in another order are another output.
        assert_eq!(
            difference(recorded, &recorded.replace("1\n2\n", "2\n1\n")).unwrap(),
            "$ seq 3\n- 1\n  2\n+ 1\n  3\n\n"
        );
    }
}
