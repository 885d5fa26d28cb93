//! Whether the server is well: what `/health`, `/livez` and `/readyz` say.

/// What there is to know of the server's health.
#[derive(Debug, Default)]
pub struct Condition {
    /// The alarms that are on, by name.
    pub alarms: Vec<&'static str>,
    /// Why nothing can be read or written any more.
    pub failure: Option<String>,
}

/// A check, by name.
type Check = (&'static str, fn(&Condition) -> Result<(), String>);

const DATA_CORRUPTION: Check = ("data_corruption", |condition| {
    if condition.alarms.contains(&"CORRUPT") {
        return Err("alarm activated: CORRUPT".to_owned());
    }
    Ok(())
});
const SERIALIZABLE_READ: Check = ("serializable_read", reads);
const LINEARIZABLE_READ: Check = ("linearizable_read", reads);

/// With one member there is one way to read.
fn reads(condition: &Condition) -> Result<(), String> {
    condition.failure.clone().map_or(Ok(()), Err)
}

/// A server that is not live should be started again.
const LIVE: &[Check] = &[SERIALIZABLE_READ];

/// A server that is not ready should not be asked.
const READY: &[Check] = &[DATA_CORRUPTION, SERIALIZABLE_READ, LINEARIZABLE_READ];

/// The checks of `/livez`, `/readyz`, and of each alone: `/readyz/data_corruption`.
fn checks(path: &str) -> Option<&'static [Check]> {
    let path = path.strip_prefix('/')?;
    let (kind, name) = path.split_once('/').unwrap_or((path, ""));
    let all = match kind {
        "livez" => LIVE,
        "readyz" => READY,
        _ => return None,
    };
    if path == kind {
        return Some(all);
    }
    let one = all.iter().position(|check| check.0 == name)?;
    Some(&all[one..=one])
}

/// Each check's path, name, and whether it is passed.
pub fn results(condition: &Condition) -> Vec<(&'static str, &'static str, bool)> {
    let live = LIVE.iter().map(|check| ("livez", check));
    let ready = READY.iter().map(|check| ("readyz", check));
    live.chain(ready)
        .map(|(kind, (name, check))| (kind, *name, check(condition).is_ok()))
        .collect()
}

/// Whether there are checks of that path.
pub fn exists(path: &str) -> bool {
    checks(path).is_some()
}

/// Answers a path that [`exists`].
///
/// # Errors
///
/// What to say if a check fails: how each went.
pub fn check(condition: &Condition, path: &str, query: &str) -> Result<String, String> {
    let excluded: Vec<&str> = values(query, "exclude").collect();
    let mut said = String::new();
    let mut is_well = true;
    for (name, check) in checks(path).unwrap_or_default() {
        if excluded.contains(name) {
            continue;
        }
        match check(condition) {
            Ok(()) => said += &format!("[+]{name} ok\n"),
            Err(why) => {
                is_well = false;
                said += &format!("[-]{name} failed: {why}\n");
            }
        }
    }
    if !is_well {
        return Err(said);
    }
    if values(query, "verbose").next().is_none() {
        said.clear();
    }
    Ok(said + "ok\n")
}

/// Answers `/health`, of which any alarm is the end but one that the query excludes.
///
/// # Errors
///
/// What to say if the server is not well.
pub fn health(condition: &Condition, query: &str) -> Result<String, String> {
    let say = |health: bool, reason: &str| {
        // Quotes and what else JSON would not have do occur in the names of files.
        let reason = reason.replace('\\', "\\\\").replace('"', "\\\"");
        format!(r#"{{"health":"{health}","reason":"{reason}"}}"#)
    };
    let mut alarms = condition.alarms.iter();
    if let Some(alarm) = alarms.find(|alarm| values(query, "exclude").all(|other| other != **alarm))
    {
        return Err(say(false, &format!("ALARM {alarm}")));
    }
    match &condition.failure {
        Some(failure) => Err(say(false, &format!("RANGE ERROR:{failure}"))),
        None => Ok(say(true, "")),
    }
}

/// The values that a query gives `name`.
fn values<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .filter(move |(key, _)| *key == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(alarms: &[&'static str], failure: Option<&str>) -> Condition {
        Condition {
            alarms: alarms.to_vec(),
            failure: failure.map(str::to_owned),
        }
    }

    /// The texts are those of etcd 3.5.
    #[test]
    fn a_server_that_is_well_says_ok() {
        let well = condition(&[], None);
        let is = |path, query, said: &str| {
            assert_eq!(check(&well, path, query).as_deref(), Ok(said), "{path}");
        };
        is("/livez", "", "ok\n");
        is("/livez", "verbose", "[+]serializable_read ok\nok\n");
        is("/readyz/data_corruption", "", "ok\n");
        is(
            "/readyz",
            "exclude=serializable_read&verbose",
            "[+]data_corruption ok\n[+]linearizable_read ok\nok\n",
        );
        assert!(!exists("/livez/data_corruption") && !exists("/readyz/") && !exists("/nix"));
        let said = health(&well, "");
        assert_eq!(said.as_deref(), Ok(r#"{"health":"true","reason":""}"#));
    }

    #[test]
    fn an_alarm_makes_it_unready_and_lets_it_live() {
        let corrupt = condition(&["CORRUPT"], None);
        let failed = "[-]data_corruption failed: alarm activated: CORRUPT\n";
        let said = check(&corrupt, "/readyz/data_corruption", "");
        assert_eq!(said, Err(failed.to_owned()));
        assert!(check(&corrupt, "/readyz", "").is_err_and(|said| said.starts_with(failed)));
        assert!(check(&corrupt, "/readyz", "exclude=data_corruption").is_ok());
        assert!(check(&corrupt, "/livez", "").is_ok());

        let said = health(&corrupt, "exclude=NOSPACE");
        let expect = r#"{"health":"false","reason":"ALARM CORRUPT"}"#;
        assert_eq!(said, Err(expect.to_owned()));
        assert!(health(&corrupt, "exclude=NOSPACE&exclude=CORRUPT").is_ok());
        // Who has no space can still be read.
        assert!(check(&condition(&["NOSPACE"], None), "/readyz", "").is_ok());
    }

    #[test]
    fn a_disk_that_failed_is_told() {
        let failed = condition(&[], Some(r#"cannot sync "a\b""#));
        let expect = "[-]serializable_read failed: cannot sync \"a\\b\"\n";
        assert_eq!(check(&failed, "/livez", ""), Err(expect.to_owned()));
        let expect = r#"{"health":"false","reason":"RANGE ERROR:cannot sync \"a\\b\""}"#;
        assert_eq!(health(&failed, ""), Err(expect.to_owned()));
    }
}
