//! One of the five fields.

/// The values that a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// A bit for each.
    values: u64,
    /// All of them, by a `*`.
    pub is_any: bool,
}

impl Field {
    /// Whether it has a value.
    pub fn contains(self, value: i8) -> bool {
        self.values & (1 << value) != 0
    }
}

/// The values of a field, and their names.
pub struct Bounds {
    min: u64,
    max: u64,
    names: &'static [(&'static str, u64)],
}

const MONTHS: &[(&str, u64)] = &[
    ("jan", 1),
    ("feb", 2),
    ("mar", 3),
    ("apr", 4),
    ("may", 5),
    ("jun", 6),
    ("jul", 7),
    ("aug", 8),
    ("sep", 9),
    ("oct", 10),
    ("nov", 11),
    ("dec", 12),
];
const DAYS: &[(&str, u64)] = &[
    ("sun", 0),
    ("mon", 1),
    ("tue", 2),
    ("wed", 3),
    ("thu", 4),
    ("fri", 5),
    ("sat", 6),
];

/// Minute, hour, day of the month, month, day of the week.
pub const FIELDS: [Bounds; 5] = [
    Bounds {
        min: 0,
        max: 59,
        names: &[],
    },
    Bounds {
        min: 0,
        max: 23,
        names: &[],
    },
    Bounds {
        min: 1,
        max: 31,
        names: &[],
    },
    Bounds {
        min: 1,
        max: 12,
        names: MONTHS,
    },
    Bounds {
        min: 0,
        max: 6,
        names: DAYS,
    },
];

impl Bounds {
    /// The values of a list of ranges.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(&self, text: &str) -> Result<Field, String> {
        let mut field = Field {
            values: 0,
            is_any: false,
        };
        for range in text.split(',').filter(|range| !range.is_empty()) {
            self.add(range, &mut field)?;
        }
        Ok(field)
    }

    /// Adds `*`, `5`, `1-5`, each perhaps with `/step`.
    fn add(&self, range: &str, field: &mut Field) -> Result<(), String> {
        let (span, step) = match range.split('/').collect::<Vec<_>>()[..] {
            [span] => (span, None),
            [span, step] => (span, Some(step)),
            _ => return Err(format!("too many slashes: {range}")),
        };
        let (start, end) = match span.split('-').collect::<Vec<_>>()[..] {
            ["*" | "?", ..] => (self.min, self.max),
            [one] => {
                let one = self.value(one)?;
                (one, if step.is_some() { self.max } else { one })
            }
            [first, last] => (self.value(first)?, self.value(last)?),
            _ => return Err(format!("too many hyphens: {range}")),
        };
        let step = step.map_or(Ok(1), number)?;
        if start < self.min {
            return Err(format!(
                "beginning of range ({start}) below minimum ({}): {range}",
                self.min
            ));
        }
        if end > self.max {
            return Err(format!(
                "end of range ({end}) above maximum ({}): {range}",
                self.max
            ));
        }
        if start > end {
            return Err(format!(
                "beginning of range ({start}) beyond end of range ({end}): {range}"
            ));
        }
        if step == 0 {
            return Err(format!(
                "step of range should be a positive number: {range}"
            ));
        }
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        for value in (start..=end).step_by(step) {
            field.values |= 1 << value;
        }
        field.is_any |= span.starts_with(['*', '?']) && step == 1;
        Ok(())
    }

    /// A number, or a name for it.
    fn value(&self, text: &str) -> Result<u64, String> {
        let lower = text.to_lowercase();
        let named = self.names.iter().find(|(name, _)| *name == lower);
        named.map_or_else(|| number(text), |(_, value)| Ok(*value))
    }
}

fn number(text: &str) -> Result<u64, String> {
    match text.parse::<i64>() {
        Ok(number) => u64::try_from(number)
            .map_err(|_| format!("negative number ({number}) not allowed: {text}")),
        Err(error) => {
            let why = match error.kind() {
                std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                    "value out of range"
                }
                _ => "invalid syntax",
            };
            Err(format!(
                "failed to parse int from {text}: strconv.Atoi: parsing {text:?}: {why}"
            ))
        }
    }
}
