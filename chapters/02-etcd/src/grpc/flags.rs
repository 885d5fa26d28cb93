//! What etcd's flags have in common: how they are written, the environment, and those that mean
//! nothing here.
//!
//! Who starts an etcd has a unit file or a manifest with flags that are about Raft, peers or a
//! disk format. With one member and another disk they have no meaning, and are taken so that the
//! file can stay as it is. A flag whose meaning would be missed (`--wal-dir`, `--auto-tls`,
//! `--client-cert-allowed-hostname`, `--discovery`, …) is refused.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, Error};

/// Why a flag has no meaning here.
const ONE_MEMBER: &str = "there is one member, and no Raft";
const OTHER_DISK: &str = "the store on disk is another";
const OWN_LIMITS: &str = "connections have limits of their own";
const NO_USERS: &str = "there are no users";
const OTHER_LOG: &str = "there is one way to log, to stderr";
const NOT_MEASURED: &str = "it is not measured here";

/// The flags without meaning, whether they need a value, and why they have none.
#[rustfmt::skip]
const WITHOUT_MEANING: &[(&str, bool, &str)] = &[
    ("listen-peer-urls", true, ONE_MEMBER),
    ("initial-advertise-peer-urls", true, ONE_MEMBER),
    ("initial-cluster-state", true, ONE_MEMBER),
    ("initial-cluster-token", true, ONE_MEMBER),
    ("initial-election-tick-advance", false, ONE_MEMBER),
    ("heartbeat-interval", true, ONE_MEMBER),
    ("election-timeout", true, ONE_MEMBER),
    ("strict-reconfig-check", false, ONE_MEMBER),
    ("pre-vote", false, ONE_MEMBER),
    ("force-new-cluster", false, ONE_MEMBER),
    ("raft-read-timeout", true, ONE_MEMBER),
    ("raft-write-timeout", true, ONE_MEMBER),
    ("peer-cert-file", true, ONE_MEMBER),
    ("peer-key-file", true, ONE_MEMBER),
    ("peer-client-cert-auth", false, ONE_MEMBER),
    ("peer-trusted-ca-file", true, ONE_MEMBER),
    ("peer-auto-tls", false, ONE_MEMBER),
    ("peer-client-cert-file", true, ONE_MEMBER),
    ("peer-client-key-file", true, ONE_MEMBER),
    ("peer-crl-file", true, ONE_MEMBER),
    ("client-cert-file", true, ONE_MEMBER),
    ("client-key-file", true, ONE_MEMBER),
    ("experimental-initial-corrupt-check", false, "what is read from disk is always checked"),
    ("experimental-corrupt-check-time", true, ONE_MEMBER),
    ("experimental-compact-hash-check-enabled", false, ONE_MEMBER),
    ("experimental-compact-hash-check-time", true, ONE_MEMBER),
    ("experimental-peer-skip-client-san-verification", false, ONE_MEMBER),
    ("experimental-downgrade-check-time", true, ONE_MEMBER),
    ("snapshot-count", true, OTHER_DISK),
    ("max-snapshots", true, OTHER_DISK),
    ("max-wals", true, OTHER_DISK),
    ("backend-bbolt-freelist-type", true, OTHER_DISK),
    ("backend-batch-interval", true, OTHER_DISK),
    ("backend-batch-limit", true, OTHER_DISK),
    ("experimental-memory-mlock", false, OTHER_DISK),
    ("experimental-txn-mode-write-with-shared-buffer", false, OTHER_DISK),
    ("experimental-bootstrap-defrag-threshold-megabytes", true, OTHER_DISK),
    ("experimental-stop-grpc-service-on-defrag", false, OTHER_DISK),
    ("experimental-compaction-batch-limit", true, OTHER_DISK),
    ("experimental-compaction-sleep-interval", true, OTHER_DISK),
    ("experimental-enable-lease-checkpoint", false, ONE_MEMBER),
    ("experimental-enable-lease-checkpoint-persist", false, ONE_MEMBER),
    ("unsafe-no-fsync", false, "every write is synced"),
    ("max-concurrent-streams", true, OWN_LIMITS),
    ("grpc-keepalive-min-time", true, OWN_LIMITS),
    ("grpc-keepalive-interval", true, OWN_LIMITS),
    ("grpc-keepalive-timeout", true, OWN_LIMITS),
    ("auth-token", true, NO_USERS),
    ("auth-token-ttl", true, NO_USERS),
    ("bcrypt-cost", true, NO_USERS),
    ("logger", true, OTHER_LOG),
    ("log-outputs", true, OTHER_LOG),
    ("enable-log-rotation", false, OTHER_LOG),
    ("log-rotation-config-json", true, OTHER_LOG),
    ("enable-pprof", false, NOT_MEASURED),
    ("metrics", true, NOT_MEASURED),
    ("experimental-warning-apply-duration", true, NOT_MEASURED),
];

/// The flags that were given and have no meaning here, by name.
#[derive(Debug, Clone, Default)]
pub struct WithoutMeaning(pub Vec<&'static str>);

impl clap::Args for WithoutMeaning {
    fn augment_args(command: Command) -> Command {
        let heading = "Taken, without meaning here";
        WITHOUT_MEANING
            .iter()
            .fold(command, |command, (name, takes_value, why)| {
                let arg = Arg::new(*name).long(*name).help(*why);
                // As it is called since etcd 3.6.
                let arg = arg.aliases(name.strip_prefix("experimental-"));
                let arg = arg.help_heading(heading).action(ArgAction::Set);
                command.arg(if *takes_value {
                    arg.value_name("VALUE")
                } else {
                    arg.value_parser(boolean)
                        .num_args(0..=1)
                        .require_equals(true)
                        .default_missing_value("true")
                })
            })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for WithoutMeaning {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let names = WITHOUT_MEANING.iter().map(|(name, ..)| *name);
        let given = names.filter(|name| matches.contains_id(name));
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Lets each flag of `command` be given by the environment as well: `--data-dir` by
/// `ETCD_DATA_DIR`. The flag wins.
pub fn by_environment(command: Command) -> Command {
    command.mut_args(|arg| match arg.get_long() {
        None | Some("help" | "version") => arg,
        Some(long) => {
            let name = format!("ETCD_{}", long.to_uppercase().replace('-', "_"));
            // A command line is made once in a process: there is nothing to free.
            let name: &'static str = Box::leak(name.into_boxed_str());
            arg.env(name).hide_env(true)
        }
    })
}

/// Arguments as clap has them: a flag may have one dash, as in all programs written in Go.
pub fn with_two_dashes(args: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    args.map(|arg| match arg.to_str() {
        Some(text) if is_long_with_one_dash(text) => format!("-{text}").into(),
        _ => arg,
    })
}

fn is_long_with_one_dash(text: &str) -> bool {
    let name = text.strip_prefix('-').unwrap_or_default();
    name.len() > 1 && name.starts_with(|c: char| c.is_ascii_lowercase())
}

/// A yes or no, as Go reads it.
///
/// # Errors
///
/// If it is neither.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("neither true nor false".to_owned()),
    }
}

/// A time, as Go reads it: `1h30m`, `1.5h`, `500ms`; `0` needs no unit.
///
/// # Errors
///
/// If it is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("{text:?} is no duration: 10m, 1h30m, 500ms");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c != '.' && !c.is_ascii_digit());
        let (number, after) = rest.split_at(digits.ok_or_else(invalid)?);
        let letters = after.find(|c: char| c == '.' || c.is_ascii_digit());
        let (unit, after) = after.split_at(letters.unwrap_or(after.len()));
        let unit_seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(invalid()),
        };
        seconds += number.parse::<f64>().map_err(|_| invalid())? * unit_seconds;
        rest = after;
    }
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !text.is_empty() => Ok(duration),
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_reads_them() {
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for wrong in ["", "10", "m", "1d", "1h30", "-1s", "1.2.3s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_dash_is_as_good_as_two() {
        let args = ["etcd", "-name", "a", "--data-dir=-x", "-h", "-"];
        let read: Vec<_> = with_two_dashes(args.into_iter().map(OsString::from)).collect();
        assert_eq!(read, ["etcd", "--name", "a", "--data-dir=-x", "-h", "-"]);
    }
}
