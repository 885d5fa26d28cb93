//! What Kubernetes adds to the language: quantities, URLs, addresses and networks, `format`.
//!
//! Upstream: `staging/src/k8s.io/apiserver/pkg/cel/library`.

use std::net::IpAddr;

use super::eval::Failure;
use super::functions::show;
use super::value::Val;
use crate::schema::quantity_nano;

type Found = Result<Val, Failure>;

const NANO: i128 = 1_000_000_000;

pub(super) fn call(name: &str, values: &[Val]) -> Found {
    match (name, values) {
        ("isQuantity", [Val::Text(text)]) => Ok(Val::Bool(quantity_nano(text).is_some())),
        ("quantity", [Val::Text(text)]) => {
            quantity_nano(text).map(Val::Quantity).ok_or_else(|| {
                Failure::error(
                    "quantities must match the regular expression \
                 '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
                )
            })
        }
        (_, [Val::Quantity(own), rest @ ..]) => quantity(name, *own, rest),
        ("isURL", [Val::Text(text)]) => Ok(Val::Bool(Url::parse(text).is_some())),
        ("url", [Val::Text(text)]) => match Url::parse(text) {
            Some(_) => Ok(Val::Url(text.clone())),
            None => Err(Failure::error(format!(
                "URL parse error during conversion from string: parse {text:?}: invalid URI for request"
            ))),
        },
        (_, [Val::Url(text)]) => url(name, text),
        ("isIP", [Val::Text(text)]) => Ok(Val::Bool(text.parse::<IpAddr>().is_ok())),
        ("ip", [Val::Text(text)]) => address(text).map(Val::Ip),
        (_, [Val::Ip(own)]) => Ok(match name {
            "family" => Val::Int(if own.is_ipv4() { 4 } else { 6 }),
            "isLoopback" => Val::Bool(own.is_loopback()),
            "isUnspecified" => Val::Bool(own.is_unspecified()),
            _ => return Err(Failure::overload()),
        }),
        ("isCIDR", [Val::Text(text)]) => Ok(Val::Bool(network(text).is_ok())),
        ("cidr", [Val::Text(text)]) => {
            network(text).map(|(address, bits)| Val::Cidr(address, bits))
        }
        (_, [Val::Cidr(own, bits), rest @ ..]) => cidr(name, *own, *bits, rest),
        _ => Err(Failure::overload()),
    }
}

fn quantity(name: &str, own: i128, rest: &[Val]) -> Found {
    let other = || match rest {
        [Val::Quantity(other)] => Ok(*other),
        [Val::Int(other)] => Ok(i128::from(*other) * NANO),
        _ => Err(Failure::overload()),
    };
    Ok(match (name, rest) {
        ("sign", []) => Val::Int(own.signum() as i64),
        ("isInteger", []) => Val::Bool(own % NANO == 0 && i64::try_from(own / NANO).is_ok()),
        ("asInteger", []) => match i64::try_from(own / NANO) {
            Ok(number) if own % NANO == 0 => Val::Int(number),
            _ => return Err(Failure::error("cannot convert value to integer")),
        },
        ("asApproximateFloat", []) => Val::Double(own as f64 / NANO as f64),
        ("isGreaterThan", _) => Val::Bool(own > other()?),
        ("isLessThan", _) => Val::Bool(own < other()?),
        ("compareTo", _) => Val::Int(own.cmp(&other()?) as i64),
        ("add", _) => Val::Quantity(own.saturating_add(other()?)),
        ("sub", _) => Val::Quantity(own.saturating_sub(other()?)),
        _ => return Err(Failure::overload()),
    })
}

/// The parts of an absolute URL, or of a path.
struct Url<'a> {
    scheme: &'a str,
    host: &'a str,
    path: &'a str,
    query: &'a str,
}

impl Url<'_> {
    fn parse(text: &str) -> Option<Url<'_>> {
        if text.is_empty() || text.contains(char::is_whitespace) {
            return None;
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            None if text.starts_with('/') => ("", text),
            None => return None,
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        if !scheme.chars().all(fits) {
            return None;
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let slash = if scheme.is_empty() {
            0
        } else {
            rest.find('/').unwrap_or(rest.len())
        };
        let (host, path) = rest.split_at(slash);
        let host = host.rsplit('@').next().unwrap_or_default();
        Some(Url {
            scheme,
            host,
            path,
            query,
        })
    }

    /// Host and port; an IPv6 address stands in brackets.
    fn host_and_port(&self) -> (&str, &str) {
        match self
            .host
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
        {
            Some((address, port)) => (address, port.strip_prefix(':').unwrap_or_default()),
            None => self.host.rsplit_once(':').unwrap_or((self.host, "")),
        }
    }
}

fn url(name: &str, text: &str) -> Found {
    let Some(url) = Url::parse(text) else {
        return Err(Failure::overload());
    };
    let part = match name {
        "getScheme" => url.scheme,
        "getHost" => url.host,
        "getHostname" => url.host_and_port().0,
        "getPort" => url.host_and_port().1,
        "getEscapedPath" => url.path,
        "getQuery" => {
            let mut query = std::collections::BTreeMap::new();
            for pair in url.query.split('&').filter(|pair| !pair.is_empty()) {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                let values = query
                    .entry(key.to_owned())
                    .or_insert_with(|| Val::List(Vec::new()));
                if let Val::List(values) = values {
                    values.push(Val::Text(value.to_owned()));
                }
            }
            return Ok(Val::Map(query));
        }
        _ => return Err(Failure::overload()),
    };
    Ok(Val::Text(part.to_owned()))
}

fn address(text: &str) -> Result<IpAddr, Failure> {
    text.parse().map_err(|_| {
        Failure::error(format!(
            "IP Address {text:?} parse error during conversion from string"
        ))
    })
}

fn network(text: &str) -> Result<(IpAddr, u8), Failure> {
    let wrong = || {
        Failure::error(format!(
            "network address parse error during conversion from string: {text:?}"
        ))
    };
    let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let bits: u8 = bits.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    if bits > most {
        Err(wrong())
    } else {
        Ok((address, bits))
    }
}

/// The bits of an address that count, at the top of a number.
fn masked(address: IpAddr, bits: u8) -> u128 {
    let number = match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    };
    if bits == 0 {
        0
    } else {
        number & (u128::MAX << (128 - u32::from(bits)))
    }
}

fn cidr(name: &str, own: IpAddr, bits: u8, rest: &[Val]) -> Found {
    let holds = |other: IpAddr, other_bits: u8| {
        other.is_ipv4() == own.is_ipv4()
            && other_bits >= bits
            && masked(other, bits) == masked(own, bits)
    };
    Ok(match (name, rest) {
        ("prefixLength", []) => Val::Int(i64::from(bits)),
        ("ip", []) => Val::Ip(own),
        ("masked", []) => {
            let number = masked(own, bits);
            let address = match own {
                IpAddr::V4(_) => IpAddr::V4(((number >> 96) as u32).into()),
                IpAddr::V6(_) => IpAddr::V6(number.into()),
            };
            Val::Cidr(address, bits)
        }
        ("containsIP", [Val::Ip(other)]) => Val::Bool(holds(*other, 128)),
        ("containsIP", [Val::Text(other)]) => Val::Bool(holds(address(other)?, 128)),
        ("containsCIDR", [Val::Cidr(other, other_bits)]) => Val::Bool(holds(*other, *other_bits)),
        ("containsCIDR", [Val::Text(other)]) => {
            let (other, other_bits) = network(other)?;
            Val::Bool(holds(other, other_bits))
        }
        _ => return Err(Failure::overload()),
    })
}

/// `"%s has %d".format([a, b])`
pub(super) fn format(text: &str, values: &[Val]) -> Result<String, Failure> {
    let mut made = String::new();
    let mut values = values.iter();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            made.push(letter);
            continue;
        }
        let mut verb = letters.next();
        let mut precision = None;
        if verb == Some('.') {
            let mut digits = String::new();
            verb = letters.next();
            while let Some(digit) = verb.filter(char::is_ascii_digit) {
                digits.push(digit);
                verb = letters.next();
            }
            precision = digits.parse::<usize>().ok().map(|digits| digits.min(100));
        }
        if verb == Some('%') {
            made.push('%');
            continue;
        }
        let value = values
            .next()
            .ok_or_else(|| Failure::error("index out of range: 0"))?;
        match (verb, value) {
            (Some('s'), value) => made.push_str(&text_of(value)?),
            (Some('d'), Val::Int(_) | Val::Uint(_)) => made.push_str(&text_of(value)?),
            (Some('f'), value) => {
                let number = value.number().ok_or_else(Failure::overload)?;
                made.push_str(&format!("{number:.*}", precision.unwrap_or(6)));
            }
            (Some('x'), Val::Int(number)) => made.push_str(&format!("{number:x}")),
            (Some('X'), Val::Int(number)) => made.push_str(&format!("{number:X}")),
            (Some('b'), Val::Int(number)) => made.push_str(&format!("{number:b}")),
            (Some('o'), Val::Int(number)) => made.push_str(&format!("{number:o}")),
            _ => return Err(Failure::error("could not parse formatting clause")),
        }
    }
    Ok(made)
}

fn text_of(value: &Val) -> Result<String, Failure> {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value {
        Val::List(list) => {
            let parts = list.iter().map(text_of).collect::<Result<_, _>>()?;
            Ok(format!("[{}]", joined(parts)))
        }
        Val::Map(map) => {
            let part = |(key, value): (&String, &Val)| Ok(format!("{key}: {}", text_of(value)?));
            let parts = map.iter().map(part).collect::<Result<_, Failure>>()?;
            Ok(format!("{{{}}}", joined(parts)))
        }
        other => show(other).ok_or_else(Failure::overload),
    }
}
