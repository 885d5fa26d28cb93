//! Addresses and networks: `cidr('10.0.0.0/8').containsIP('10.1.2.3')`.
//!
//! Upstream: `apiserver/pkg/cel/library/ip.go` and `cidr.go`.

use std::net::IpAddr;

use super::budget::Failure;
use super::value::Val;

type Found = Result<Val, Failure>;

/// Functions of text that is an address or a network.
pub(super) fn read(name: &str, text: &str) -> Found {
    match name {
        "ip" => address(text).map(Val::Ip),
        "isIP" => Ok(Val::Bool(address(text).is_ok())),
        "ip.isCanonical" => Ok(Val::Bool(address(text)?.to_string() == text)),
        "cidr" => network(text).map(|(address, bits)| Val::Cidr(address, bits)),
        "isCIDR" => Ok(Val::Bool(network(text).is_ok())),
        _ => Err(Failure::overload()),
    }
}

/// A function of an address.
pub(super) fn ip(name: &str, own: &IpAddr) -> Found {
    // The first bytes say what most of them are for.
    let (first, second) = match own {
        IpAddr::V4(own) => (own.octets()[0], own.octets()[1]),
        IpAddr::V6(own) => (own.octets()[0], own.octets()[1]),
    };
    let (is_v4, third) = match own {
        IpAddr::V4(own) => (true, own.octets()[2]),
        IpAddr::V6(_) => (false, 0),
    };
    let is_link_local = match is_v4 {
        true => first == 169 && second == 254,
        false => first == 0xfe && second & 0xc0 == 0x80,
    };
    let is_link_local_multicast = match is_v4 {
        true => first == 224 && second == 0 && third == 0,
        false => first == 0xff && second & 0x0f == 0x02,
    };
    let is_broadcast = matches!(own, IpAddr::V4(own) if own.is_broadcast());
    Ok(match name {
        "family" => Val::Int(if is_v4 { 4 } else { 6 }),
        "isLoopback" => Val::Bool(own.is_loopback()),
        "isUnspecified" => Val::Bool(own.is_unspecified()),
        "isLinkLocalUnicast" => Val::Bool(is_link_local),
        "isLinkLocalMulticast" => Val::Bool(is_link_local_multicast),
        "isGlobalUnicast" => Val::Bool(
            !own.is_unspecified()
                && !own.is_loopback()
                && !own.is_multicast()
                && !is_link_local
                && !is_broadcast,
        ),
        _ => return Err(Failure::overload()),
    })
}

/// Zones, and addresses of IPv4 that are written as ones of IPv6, are none.
fn address(text: &str) -> Result<IpAddr, Failure> {
    let address: IpAddr = text.parse().map_err(|_| {
        Failure::Error(format!(
            "IP Address {text:?} parse error during conversion from string: ParseAddr({text:?}): \
             unable to parse IP"
        ))
    })?;
    not_mapped(address, text)
}

fn not_mapped(address: IpAddr, text: &str) -> Result<IpAddr, Failure> {
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Err(Failure::Error(format!(
            "IPv4-mapped IPv6 address {text:?} is not allowed"
        ))),
        address => Ok(address),
    }
}

fn network(text: &str) -> Result<(IpAddr, u8), Failure> {
    let wrong = |what: &str| {
        Failure::Error(format!(
            "network address parse error during conversion from string: network address parse \
             error during conversion from string: netip.ParsePrefix({text:?}): {what}"
        ))
    };
    let (address, digits) = text.split_once('/').ok_or_else(|| wrong("no '/'"))?;
    let address: IpAddr = address
        .parse()
        .map_err(|_| wrong(&format!("ParseAddr({address:?}): unable to parse IP")))?;
    let is_plain = digits.bytes().all(|b| b.is_ascii_digit());
    let is_plain = is_plain && (digits.len() == 1 || !digits.starts_with('0'));
    let bits: Option<u8> = digits.parse().ok().filter(|_| is_plain);
    let bits = bits.ok_or_else(|| wrong(&format!("bad bits after slash: {digits:?}")))?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    if bits > most {
        return Err(wrong("prefix length out of range"));
    }
    Ok((not_mapped(address, text)?, bits))
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

/// A function of a network.
pub(super) fn cidr(name: &str, own: IpAddr, bits: u8, rest: &[Val]) -> Found {
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
