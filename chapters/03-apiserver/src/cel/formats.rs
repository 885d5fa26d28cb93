//! Named formats of text: `format.dns1123Label().validate('a_b')`.
//!
//! Upstream: `apiserver/pkg/cel/library/format.go`.

use super::budget::Failure;
use super::urls;
use super::value::Val;
use crate::custom::formats::holds;
use crate::validation::names;

/// A format of text.
#[derive(Debug)]
pub struct Format {
    name: &'static str,
    /// What is wrong with text; nothing if it is of the format.
    wrongs: fn(&str) -> Vec<String>,
    /// How long the expression is that stands for it, as far as cost goes.
    pub(super) regex_size: u64,
}

impl PartialEq for Format {
    fn eq(&self, other: &Format) -> bool {
        self.name == other.name
    }
}

const fn format(name: &'static str, wrongs: fn(&str) -> Vec<String>, regex_size: u64) -> Format {
    Format {
        name,
        wrongs,
        regex_size,
    }
}

static FORMATS: &[Format] = &[
    format("dns1123Label", names::dns1123_label, 30),
    format("dns1123Subdomain", names::dns1123_subdomain, 60),
    format("dns1035Label", names::dns1035_label, 30),
    format("qualifiedName", names::qualified_name, 60),
    format(
        "dns1123LabelPrefix",
        |text| names::dns1123_label(&prefixed(text)),
        30,
    ),
    format(
        "dns1123SubdomainPrefix",
        |text| names::dns1123_subdomain(&prefixed(text)),
        60,
    ),
    format(
        "dns1035LabelPrefix",
        |text| names::dns1035_label(&prefixed(text)),
        30,
    ),
    format("labelValue", names::label_value, 40),
    format("uri", urls::wrongs, 1103),
    format(
        "uuid",
        |text| known("uuid", text, "does not match the UUID format"),
        70,
    ),
    format("byte", |text| known("byte", text, "invalid base64"), 84),
    format("date", |text| known("date", text, "invalid date"), 71),
    format(
        "datetime",
        |text| known("datetime", text, "invalid datetime"),
        71,
    ),
];

fn known(format: &str, text: &str, wrong: &str) -> Vec<String> {
    match holds(format, text) {
        true => Vec::new(),
        false => vec![wrong.to_owned()],
    }
}

/// A name to which something is added may end in a dash.
///
/// Upstream: `maskTrailingDash` of `apimachinery/pkg/api/validation/generic.go`.
fn prefixed(text: &str) -> String {
    let cut = text.len().checked_sub(2).filter(|_| text.ends_with('-'));
    match cut.and_then(|cut| text.get(..cut)) {
        Some(rest) => format!("{rest}a"),
        None => text.to_owned(),
    }
}

/// The format of a name.
pub(super) fn named(name: &str) -> Option<Val> {
    let mut all = FORMATS.iter();
    all.find(|format| format.name == name).map(Val::Format)
}

/// `validate`: nothing, or what is wrong.
pub(super) fn validate(format: &Format, text: &str) -> Result<Val, Failure> {
    let wrongs = (format.wrongs)(text);
    Ok(match wrongs.is_empty() {
        true => Val::Optional(None),
        false => Val::some(Val::list(
            wrongs.iter().map(|wrong| Val::text(wrong)).collect(),
        )),
    })
}
