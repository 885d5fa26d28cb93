//! A folder of golden scripts, run one after the other.
//!
//! A golden script is a test that can be read: commands, `---`, and what they answered when it was
//! recorded. `UPDATE_GOLDENFILES=1` records it anew. What a command does is said by each test's own
//! [`Runner`]; here is what they have in common.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use goldenscript::Runner;

/// Runs every script in `folder`, in the order of their names, each with a runner that knows
/// nothing of the others.
///
/// # Panics
///
/// If a script answers otherwise than was recorded.
///
/// # Errors
///
/// Those of a script, with its path; and that there is none, as a folder that was moved would pass
/// any test.
pub fn run_folder<R: Runner>(
    folder: impl AsRef<Path>,
    mut runner: impl FnMut() -> R,
) -> io::Result<()> {
    let folder = folder.as_ref();
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut scripts = entries.collect::<io::Result<Vec<PathBuf>>>()?;
    scripts.sort();
    if scripts.is_empty() {
        let said = format!("{}: no scripts", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, said));
    }
    for script in scripts {
        goldenscript::run(&mut runner(), &script)
            .map_err(|error| io::Error::other(format!("{}: {error}", script.display())))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use goldenscript::{Command, Context};

    use super::*;

    /// Answers how many commands it has had.
    #[derive(Default)]
    struct Counter(u32);

    impl Runner for Counter {
        type Command = Command;

        fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
            if command.name == "fail" {
                return Err("as it was told".into());
            }
            self.0 += 1;
            Ok(self.0.to_string())
        }
    }

    fn run(scripts: &[(&str, &str)]) -> Result<u32, String> {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, script) in scripts {
            fs::write(folder.path().join(name), script).expect("a file");
        }
        let mut runners = 0;
        let ran = run_folder(folder.path(), || {
            runners += 1;
            Counter::default()
        });
        let path = format!("{}/", folder.path().display());
        ran.map(|()| runners)
            .map_err(|error| error.to_string().replace(&path, ""))
    }

    #[test]
    fn each_script_has_a_runner_of_its_own() {
        let script = "count\ncount\n---\n1\n2\n";
        assert_eq!(run(&[("a", script), ("b", script)]), Ok(2));
    }

    #[test]
    fn an_error_says_whose_it_is() {
        let said = run(&[("a", "count\n---\n1\n"), ("b", "fail\n---\n")]).expect_err("it failed");
        assert!(said.starts_with("b: "), "{said}");
        assert!(said.contains("as it was told"), "{said}");
    }

    #[test]
    fn a_folder_without_scripts_is_no_success() {
        let said = run(&[]).expect_err("nothing was run");
        assert!(said.contains("no scripts"), "{said}");
    }
}
