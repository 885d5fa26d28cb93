//! URLs: `url('https://h:8443/p?a=b').getPort()`.
//!
//! Upstream: `apiserver/pkg/cel/library/urls.go`, on Go's `net/url`.

use std::collections::BTreeMap;

use super::budget::Failure;
use super::value::{Key, Val};

/// The parts of an absolute URL, or of a path.
#[derive(Default)]
struct Url<'a> {
    scheme: String,
    host: &'a str,
    path: &'a str,
    query: &'a str,
}

impl Url<'_> {
    /// As the target of a request.
    fn parse(text: &str) -> Result<Url<'_>, String> {
        if text.is_empty() {
            return Err("empty url".to_owned());
        }
        if text.bytes().any(|b| b < b' ' || b == 0x7f) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        let (scheme, rest) = scheme(text)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut url = Url {
            scheme: scheme.to_ascii_lowercase(),
            query,
            ..Url::default()
        };
        if !rest.starts_with('/') {
            return match scheme {
                "" => Err("invalid URI for request".to_owned()),
                // `mailto:a@b` has neither a host nor a path.
                _ => Ok(url),
            };
        }
        let authority = rest.strip_prefix("//").filter(|_| !scheme.is_empty());
        url.path = rest;
        if let Some(rest) = authority {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            url.host = authority
                .rsplit_once('@')
                .map_or(authority, |(_, host)| host);
            url.path = path;
            check_host(url.host)?;
        }
        match unescape(url.path, false) {
            Ok(_) => Ok(url),
            Err(wrong) => Err(format!("invalid URL escape {wrong:?}")),
        }
    }

    /// Host and port; an IPv6 address stands in brackets.
    fn host_and_port(&self) -> (&str, &str) {
        let bracketed = self
            .host
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'));
        match bracketed {
            Some((address, port)) => (address, port.strip_prefix(':').unwrap_or_default()),
            None => self.host.rsplit_once(':').unwrap_or((self.host, "")),
        }
    }

    /// With whatever may not stand in a path escaped.
    fn escaped_path(&self) -> String {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:@[]/%".contains(&b);
        if self.path.bytes().all(fits) {
            return self.path.to_owned();
        }
        let plain = unescape(self.path, false).unwrap_or_default();
        let escape = |b: &u8| match *b {
            b if b.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&b) => {
                char::from(b).to_string()
            }
            b => format!("%{b:02X}"),
        };
        plain.iter().map(escape).collect()
    }

    /// All values of each name.
    fn query(&self) -> Val {
        let mut query: BTreeMap<String, Vec<Val>> = BTreeMap::new();
        let pairs = self.query.split('&');
        for pair in pairs.filter(|pair| !pair.is_empty() && !pair.contains(';')) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // What cannot be read is left out.
            let text = |part: &str| {
                let bytes = unescape(part, true).ok()?;
                Some(String::from_utf8_lossy(&bytes).into_owned())
            };
            if let (Some(name), Some(value)) = (text(name), text(value)) {
                query.entry(name).or_default().push(Val::text(&value));
            }
        }
        let lists = query.into_iter();
        Val::map(lists.map(|(name, values)| (Key::from(name), Val::list(values))))
    }
}

/// What stands before the colon, and the rest.
fn scheme(text: &str) -> Result<(&str, &str), String> {
    let is_first = |c: char| c.is_ascii_alphabetic();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    match text.find(|c: char| !fits(c)) {
        Some(0) if text.starts_with(':') => Err("missing protocol scheme".to_owned()),
        Some(at) if text[at..].starts_with(':') && text.starts_with(is_first) => {
            Ok((&text[..at], &text[at + 1..]))
        }
        _ => Ok(("", text)),
    }
}

fn check_host(host: &str) -> Result<(), String> {
    let port = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or("missing ']' in host")?.1,
        None => host.rfind(':').map_or("", |at| &host[at..]),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    if !digits.bytes().all(|b| b.is_ascii_digit()) || digits == port && !port.is_empty() {
        return Err(format!("invalid port {port:?} after host"));
    }
    let wrong = |c: &char| c.is_ascii() && !c.is_ascii_alphanumeric();
    let wrong = |c: &char| wrong(c) && !"-_.~!$&'()*+,;=:[]<>\"%".contains(*c);
    match host.chars().find(wrong) {
        Some(wrong) => Err(format!(
            "invalid character {:?} in host name",
            wrong.to_string()
        )),
        None => Ok(()),
    }
}

/// With each `%20` as the byte that it stands for; or the escape that is none.
fn unescape(text: &str, plus_is_space: bool) -> Result<Vec<u8>, &str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let byte = text.as_bytes()[at];
        let hex = text.as_bytes().get(at + 1..at + 3);
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        let hex = hex.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        match (byte, hex.map(|hex| u8::from_str_radix(hex, 16))) {
            (b'%', Some(Ok(byte))) => {
                bytes.push(byte);
                at += 2;
            }
            (b'%', _) => {
                let end = (at + 3).min(text.len());
                return Err(text.get(at..end).unwrap_or(&text[at..]));
            }
            (b'+', _) if plus_is_space => bytes.push(b' '),
            _ => bytes.push(byte),
        }
        at += 1;
    }
    Ok(bytes)
}

fn told(text: &str, wrong: &str) -> String {
    format!("parse {text:?}: {wrong}")
}

/// What is wrong with a URL, for the format `uri`.
pub(super) fn wrongs(text: &str) -> Vec<String> {
    let wrong = Url::parse(text).err();
    wrong.iter().map(|wrong| told(text, wrong)).collect()
}

/// `url` and `isURL`.
pub(super) fn read(name: &str, text: &str) -> Result<Val, Failure> {
    match (name, Url::parse(text)) {
        ("isURL", read) => Ok(Val::Bool(read.is_ok())),
        (_, Ok(_)) => Ok(Val::Url(text.into())),
        (_, Err(wrong)) => Err(Failure::Error(format!(
            "URL parse error during conversion from string: {}",
            told(text, &wrong)
        ))),
    }
}

/// A function of a URL.
pub(super) fn call(name: &str, text: &str) -> Result<Val, Failure> {
    let text = text.split('#').next().unwrap_or_default();
    let url = Url::parse(text).map_err(|wrong| Failure::Error(told(text, &wrong)))?;
    Ok(Val::text(match name {
        "getScheme" => &url.scheme,
        "getHost" => url.host,
        "getHostname" => url.host_and_port().0,
        "getPort" => url.host_and_port().1,
        "getEscapedPath" => return Ok(Val::text(&url.escaped_path())),
        "getQuery" => return Ok(url.query()),
        _ => return Err(Failure::overload()),
    }))
}
