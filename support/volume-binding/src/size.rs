//! Sizes of volumes and claims, in bytes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::{claim_spec, volume_spec};

/// How much a volume holds, in bytes.
pub fn capacity(volume: &PersistentVolume) -> i128 {
    storage(volume_spec(volume).capacity.as_ref())
}

/// How much a claim asks for, in bytes.
pub fn request(claim: &PersistentVolumeClaim) -> i128 {
    let resources = claim_spec(claim).resources.as_ref();
    storage(resources.and_then(|resources| resources.requests.as_ref()))
}

fn storage(amounts: Option<&BTreeMap<String, Quantity>>) -> i128 {
    let amount = amounts.and_then(|amounts| amounts.get("storage"));
    amount
        .and_then(|quantity| bytes(&quantity.0))
        .unwrap_or_default()
}

/// A quantity in the form that the API server stores: whole, or with a suffix. Parts of a byte
/// count as one.
fn bytes(text: &str) -> Option<i128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, suffix) = text.split_at(end.unwrap_or(text.len()));
    let (base, power): (i128, u32) = match suffix {
        "" => (1000, 0),
        "k" => (1000, 1),
        "M" => (1000, 2),
        "G" => (1000, 3),
        "T" => (1000, 4),
        "P" => (1000, 5),
        "E" => (1000, 6),
        "Ki" => (1024, 1),
        "Mi" => (1024, 2),
        "Gi" => (1024, 3),
        "Ti" => (1024, 4),
        "Pi" => (1024, 5),
        "Ei" => (1024, 6),
        // Thousandths, which no device has.
        "m" => return Some((number.parse::<i128>().ok()? + 999) / 1000),
        _ => (10, suffix.strip_prefix('e')?.parse().ok()?),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let parts = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let scaled = digits.checked_mul(base.checked_pow(power)?)?;
    Some((scaled + parts - 1) / parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_compare_whatever_they_are_written_in() {
        for (text, expect) in [
            ("1Gi", Some(1 << 30)),
            ("1024Mi", Some(1 << 30)),
            ("1.5Ki", Some(1536)),
            ("10G", Some(10_000_000_000)),
            ("1e3", Some(1000)),
            ("1500m", Some(2)),
            ("7", Some(7)),
            ("", None),
            ("many", None),
        ] {
            assert_eq!(bytes(text), expect, "{text}");
        }
    }
}
