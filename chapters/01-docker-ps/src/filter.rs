//! What `--filter` says. Upstream: `opts/opts.go` (`FilterOpt`) in docker/cli.

use std::collections::HashMap;

/// `name=value` pairs as the engine's API wants them: every value under its name.
///
/// What the names mean is the engine's business; it refuses those that it does not know. Names
/// are told apart without case, and spaces around them are none of theirs.
///
/// # Errors
/// If a pair has no `=`.
pub fn parse(pairs: &[String]) -> Result<HashMap<String, Vec<String>>, String> {
    let mut filters: HashMap<String, Vec<String>> = HashMap::new();
    // ANCHOR: exercise-01.3
    for pair in pairs {
        // At the first `=`: a label's filter has another one in its value.
        let Some((name, value)) = pair.split_once('=') else {
            return Err(format!(
                "invalid argument {pair:?} for \"-f, --filter\" flag: bad format of filter \
                 (expected name=value)"
            ));
        };
        let values = filters.entry(name.trim().to_lowercase()).or_default();
        let value = value.trim().to_owned();
        if !values.contains(&value) {
            values.push(value);
        }
    }
    // ANCHOR_END: exercise-01.3
    Ok(filters)
}
