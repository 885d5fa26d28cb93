//! Validation.

pub mod names;
pub mod quantity;

use crate::status::FieldError;

/// A wrong value shown in Go's way, where JSON is not how upstream's message has it.
pub(crate) fn invalid_as(field: impl Into<String>, shown: &str, detail: &str) -> FieldError {
    FieldError {
        reason: "FieldValueInvalid",
        field: field.into(),
        message: format!("Invalid value: {shown}: {detail}"),
    }
}
