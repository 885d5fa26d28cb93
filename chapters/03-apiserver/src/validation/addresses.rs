//! Addresses, and ranges of them.
//!
//! Upstream: `apimachinery/pkg/util/validation/ip.go`; `ValidateNonSpecialIP` in
//! `pkg/apis/core/validation/validation.go`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::names::Wrongs;

/// An address in its one canonical form.
pub(super) fn ip(value: &str) -> Wrongs {
    const WRONG: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    let wrong = match value.parse::<IpAddr>() {
        Err(_) if without_leading_zeros(value).is_some() => "must not have leading 0s".to_owned(),
        Err(_) => WRONG.to_owned(),
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            "must not be an IPv4-mapped IPv6 address".to_owned()
        }
        Ok(address) if address.to_string() == value => return Wrongs::new(),
        Ok(address) => format!("must be in canonical form ({:?})", address.to_string()),
    };
    vec![wrong]
}

/// An address that may be one of endpoints, or of what leads to them from outside: not one that
/// is a machine's own, or a link's, behind which there may be what tells secrets. What is no address
/// is for others to refuse.
pub(super) fn not_special(value: &str) -> Wrongs {
    let Some(address) = parse_ip(value).map(|address| address.to_canonical()) else {
        return Wrongs::new();
    };
    let (local, multicast) = match address {
        IpAddr::V4(address) => {
            let multicast = address.octets()[..3] == [224, 0, 0];
            (address.is_link_local(), multicast)
        }
        IpAddr::V6(address) => {
            let [first, ..] = address.segments();
            (first & 0xffc0 == 0xfe80, first & 0xff0f == 0xff02)
        }
    };
    let wrongs = [
        (
            address.is_unspecified(),
            format!("may not be unspecified ({value})"),
        ),
        (
            address.is_loopback(),
            "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned(),
        ),
        (
            local,
            "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned(),
        ),
        (
            multicast,
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned(),
        ),
    ];
    let held = wrongs.into_iter().filter(|(holds, _)| *holds);
    held.map(|(_, wrong)| wrong).collect()
}

/// An address, in any form that Go's older parser takes: with zeros in front of its numbers too.
pub(super) fn parse_ip(value: &str) -> Option<IpAddr> {
    let strict = value.parse().ok();
    strict.or_else(|| without_leading_zeros(value).map(IpAddr::V4))
}

fn without_leading_zeros(value: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = value.split('.').collect();
    let [a, b, c, d] = parts[..] else { return None };
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse::<u8>().ok()).flatten()
    };
    Some(Ipv4Addr::new(
        number(a)?,
        number(b)?,
        number(c)?,
        number(d)?,
    ))
}

/// A range of addresses: the first, and how many bits all of them share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cidr {
    /// As it was written.
    pub(super) address: IpAddr,
    /// How many bits are the same in all of the range.
    pub(super) bits: u8,
}

impl Cidr {
    /// Parses `10.9.8.0/24`, in any form that Go's older parser takes.
    pub(super) fn parse(value: &str) -> Option<Cidr> {
        let (address, bits) = value.split_once('/')?;
        let address = parse_ip(address)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let digits = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
        let bits = digits.then(|| bits.parse::<u8>().ok()).flatten()?;
        (bits <= most).then_some(Cidr { address, bits })
    }

    /// The first address of the range.
    pub(super) fn network(self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits));
                Ipv4Addr::from(u32::from(address) & mask.unwrap_or(0)).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits));
                Ipv6Addr::from(u128::from(address) & mask.unwrap_or(0)).into()
            }
        }
    }

    /// Whether an address is in the range.
    pub(super) fn contains(self, address: IpAddr) -> bool {
        let other = Cidr { address, ..self };
        self.address.is_ipv4() == address.is_ipv4() && self.network() == other.network()
    }
}

/// A range in any form that is taken: of fields that are older than the strict form.
pub(super) fn loose_cidr(value: &str) -> Wrongs {
    match Cidr::parse(value) {
        Some(_) => Wrongs::new(),
        None => vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".to_owned()],
    }
}

/// A range in its one canonical form.
pub(super) fn cidr(value: &str) -> Wrongs {
    let Some(parsed) = Cidr::parse(value) else {
        return loose_cidr(value);
    };
    let (address, bits) = value.split_once('/').unwrap_or_default();
    let zeros = address.parse::<IpAddr>().is_err() || bits.len() > 1 && bits.starts_with('0');
    let mapped = matches!(parsed.address, IpAddr::V6(a) if a.to_ipv4_mapped().is_some());
    let canonical = format!("{}/{}", parsed.network(), parsed.bits);
    let wrong = if zeros {
        "must not have leading 0s in IP or prefix length".to_owned()
    } else if mapped {
        "must not have an IPv4-mapped IPv6 address".to_owned()
    } else if parsed.address != parsed.network() {
        "must not have bits set beyond the prefix length".to_owned()
    } else if canonical != value {
        format!("must be in canonical form ({canonical:?})")
    } else {
        return Wrongs::new();
    };
    vec![wrong]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_addresses_are_nobody_else_s() {
        for good in [
            "10.0.0.1",
            "8.8.8.8",
            "2001:db8::1",
            "224.0.1.1",
            "ff05::1",
            "x",
        ] {
            assert_eq!(not_special(good), Wrongs::new(), "{good}");
        }
        for (wrong, why) in [
            ("0.0.0.0", "may not be unspecified (0.0.0.0)"),
            ("::", "may not be unspecified (::)"),
            (
                "127.1.2.3",
                "may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ),
            (
                "::ffff:127.0.0.1",
                "may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ),
            (
                "::1",
                "may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ),
            (
                "169.254.169.254",
                "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
            ),
            (
                "febf::1",
                "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
            ),
            (
                "224.0.0.7",
                "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
            ),
            (
                "ff12::1",
                "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
            ),
        ] {
            assert_eq!(not_special(wrong), [why], "{wrong}");
        }
    }

    #[test]
    fn addresses_and_ranges_have_one_form() {
        for good in ["10.9.8.7", "2001:db8::ffff", "::"] {
            assert_eq!(ip(good), Wrongs::new(), "{good}");
        }
        for (wrong, why) in [
            (
                "10.9.8",
                "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ),
            ("010.9.8.7", "must not have leading 0s"),
            ("::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"),
            ("2001:DB8::1", "must be in canonical form (\"2001:db8::1\")"),
        ] {
            assert_eq!(ip(wrong), [why], "{wrong}");
        }
        for good in ["10.9.8.0/24", "0.0.0.0/0", "2001:db8::/64", "::/0"] {
            assert_eq!(cidr(good), Wrongs::new(), "{good}");
        }
        for (wrong, why) in [
            (
                "10.9.8.0",
                "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            ),
            (
                "10.9.8.0/33",
                "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            ),
            (
                "10.9.08.0/24",
                "must not have leading 0s in IP or prefix length",
            ),
            (
                "10.9.8.1/24",
                "must not have bits set beyond the prefix length",
            ),
            (
                "2001:0db8::/64",
                "must be in canonical form (\"2001:db8::/64\")",
            ),
        ] {
            assert_eq!(cidr(wrong), [why], "{wrong}");
        }
        let range = Cidr::parse("10.0.0.0/8").expect("is one");
        assert!(range.contains("10.1.2.3".parse().expect("is one")));
        assert!(!range.contains("11.0.0.0".parse().expect("is one")));
        assert!(!range.contains("::".parse().expect("is one")));
    }
}
