//! Times and base64 in the one form that is stored.

use jiff::Timestamp;

/// A time as it is stored: UTC, to the second or the microsecond.
pub(super) fn canonical_time(text: &str, micro: bool) -> Result<String, String> {
    let time: Timestamp = text.parse().map_err(|_| {
        format!(
            "parsing time {text:?} as \"2006-01-02T15:04:05{}Z07:00\": cannot parse {text:?} as \
             \"2006\"",
            if micro { ".000000" } else { "" }
        )
    })?;
    let format = if micro {
        "%Y-%m-%dT%H:%M:%S.%6fZ"
    } else {
        "%Y-%m-%dT%H:%M:%SZ"
    };
    Ok(time.strftime(format).to_string())
}

/// Checks that text is base64 as Go's `base64.StdEncoding` reads it.
pub(super) fn check_base64(text: &str) -> Result<(), String> {
    use base64::{DecodeError, Engine, engine::general_purpose::STANDARD};
    let compact: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    STANDARD.decode(&compact).map(drop).map_err(|error| {
        let at = match error {
            DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
            DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => {
                compact.trim_end_matches('=').len() / 4 * 4
            }
        };
        format!("illegal base64 data at input byte {at}")
    })
}
