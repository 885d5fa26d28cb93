//! What has to be left of what: the flags about evictions, read and written.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use jiff::SignedDuration;

use super::SIGNALS;
use crate::decide::quantity;

/// An amount, or a part of all there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Least {
    /// Bytes or pieces.
    Amount(u64),
    /// Of a hundred.
    Percent(u64),
}

impl Least {
    /// The amount, where there is so much in all.
    pub fn of(self, capacity: u64) -> u64 {
        match self {
            Least::Amount(amount) => amount,
            Least::Percent(percent) => capacity / 100 * percent,
        }
    }
}

impl FromStr for Least {
    type Err = String;

    fn from_str(text: &str) -> Result<Least, String> {
        let malformed = || format!("{text:?} is neither a quantity nor a percentage");
        if let Some(percent) = text.strip_suffix('%') {
            return Ok(Least::Percent(percent.parse().map_err(|_| malformed())?));
        }
        let nanos = quantity::parse_nanos(text).ok_or_else(malformed)?;
        let whole = u64::try_from(nanos / 1_000_000_000);
        Ok(Least::Amount(whole.map_err(|_| malformed())?))
    }
}

impl Display for Least {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Least::Amount(amount) => write!(f, "{amount}"),
            Least::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// What has to be left: `memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%`. What
/// is not named may run out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Thresholds(BTreeMap<&'static str, Least>);

impl Thresholds {
    /// Upstream's default of the hard ones; those of a file system for images alone are left out.
    pub fn hard_default() -> Thresholds {
        Thresholds(BTreeMap::from([
            ("memory.available", Least::Amount(100 << 20)),
            ("nodefs.available", Least::Percent(10)),
            ("nodefs.inodesFree", Least::Percent(5)),
        ]))
    }

    /// What has to be left of one thing.
    pub fn get(&self, signal: &str) -> Option<Least> {
        self.0.get(signal).copied()
    }

    /// The signals that are named.
    pub fn signals(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// By signal, as a kubelet's configuration writes them.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        to_map(&self.0)
    }
}

impl FromStr for Thresholds {
    type Err = String;

    fn from_str(text: &str) -> Result<Thresholds, String> {
        Ok(Thresholds(parse(text, '<')?))
    }
}

impl Display for Thresholds {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&written(&self.0, '<'))
    }
}

/// Amounts by signal: `memory.available=100Mi`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amounts(BTreeMap<&'static str, Least>);

impl Amounts {
    /// That of one signal.
    pub fn get(&self, signal: &str) -> Option<Least> {
        self.0.get(signal).copied()
    }

    /// By signal, as a kubelet's configuration writes them.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        to_map(&self.0)
    }
}

impl FromStr for Amounts {
    type Err = String;

    fn from_str(text: &str) -> Result<Amounts, String> {
        Ok(Amounts(parse(text, '=')?))
    }
}

impl Display for Amounts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&written(&self.0, '='))
    }
}

/// Periods by signal: `memory.available=1m30s`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Periods(BTreeMap<&'static str, SignedDuration>);

impl Periods {
    /// That of one signal.
    pub fn get(&self, signal: &str) -> Option<SignedDuration> {
        self.0.get(signal).copied()
    }
}

impl FromStr for Periods {
    type Err = String;

    fn from_str(text: &str) -> Result<Periods, String> {
        Ok(Periods(parse(text, '=')?))
    }
}

impl Display for Periods {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&written(&self.0, '='))
    }
}

fn parse<T: FromStr>(text: &str, between: char) -> Result<BTreeMap<&'static str, T>, String>
where
    T::Err: Display,
{
    let mut parsed = BTreeMap::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (name, value) = part
            .split_once(between)
            .ok_or_else(|| format!("{part:?} is not signal{between}value"))?;
        let known = SIGNALS.iter().find(|(signal, _)| *signal == name);
        let (signal, _) = known.ok_or_else(|| format!("there is no signal {name:?}"))?;
        let value = value.parse().map_err(|error: T::Err| error.to_string())?;
        parsed.insert(*signal, value);
    }
    Ok(parsed)
}

fn written<T: Display>(map: &BTreeMap<&'static str, T>, between: char) -> String {
    let parts = map
        .iter()
        .map(|(name, value)| format!("{name}{between}{value}"));
    parts.collect::<Vec<_>>().join(",")
}

fn to_map(map: &BTreeMap<&'static str, Least>) -> BTreeMap<String, String> {
    let entries = map
        .iter()
        .map(|(name, least)| ((*name).to_owned(), least.to_string()));
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_as_they_are_written() {
        let default = Thresholds::hard_default();
        assert_eq!(default.to_string().parse(), Ok(default));
        assert_eq!("".parse(), Ok(Thresholds::default()));
        let periods: Periods = "memory.available=1m30s,nodefs.available=2m"
            .parse()
            .unwrap();
        let seconds = |signal| periods.get(signal).map(|period| period.as_secs());
        assert_eq!(seconds("memory.available"), Some(90));
        assert_eq!(seconds("nodefs.inodesFree"), None);
        assert_eq!(periods.to_string().parse(), Ok(periods.clone()));
        let amounts: Amounts = "nodefs.available=5%".parse().unwrap();
        let least = amounts.get("nodefs.available").unwrap();
        assert_eq!(least.of(1000), 50);
        for malformed in [
            "memory.available",
            "memory<1Mi",
            "memory.available<x",
            "nodefs.available<-1%",
        ] {
            assert!(malformed.parse::<Thresholds>().is_err(), "{malformed}");
        }
        assert!("memory.available=x".parse::<Periods>().is_err());
    }
}
