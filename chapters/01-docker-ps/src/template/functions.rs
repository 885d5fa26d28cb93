//! The functions of a template: docker's own, and those of Go that people use with it.

use super::Value;

/// All of them.
pub const NAMES: [&str; 17] = [
    "json", "split", "join", "title", "lower", "upper", "pad", "truncate", "println", "print",
    "len", "eq", "ne", "not", "and", "or", "index",
];

/// Whether a function has this name.
pub fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Whether `name .Field` in a table has the heading of the field.
///
/// Upstream: `HeaderFunctions`.
pub fn keeps_heading(name: &str) -> bool {
    matches!(
        name,
        "json" | "split" | "join" | "title" | "lower" | "upper" | "pad" | "truncate"
    )
}

/// Calls a function.
///
/// # Errors
/// If it takes other arguments.
pub fn call(name: &str, arguments: Vec<Value>) -> Result<Value, String> {
    use Value::{Bool, List, Number, Text};
    let text = match (name, &arguments[..]) {
        ("json", [value]) => value.json(),
        ("lower", [Text(text)]) => text.to_lowercase(),
        ("upper", [Text(text)]) => text.to_uppercase(),
        ("title", [Text(text)]) => title(text),
        ("split", [Text(text), Text(separator)]) => {
            return Ok(List(
                text.split(separator.as_str()).map(str::to_owned).collect(),
            ));
        }
        ("join", [List(list), Text(separator)]) => list.join(separator),
        ("truncate", [Text(text), Number(length)]) => text
            .chars()
            .take(usize::try_from(*length).unwrap_or(0))
            .collect(),
        ("pad", [Text(text), Number(before), Number(after)]) => {
            let spaces = |number: &i64| " ".repeat(usize::try_from(*number).unwrap_or(0));
            format!("{}{text}{}", spaces(before), spaces(after))
        }
        ("print", values) => printed(values),
        ("println", values) => spaced(values) + "\n",
        ("len", [Text(text)]) => return Ok(Number(text.len() as i64)),
        ("len", [List(list)]) => return Ok(Number(list.len() as i64)),
        ("index", [List(list), Number(at)]) => {
            let item = usize::try_from(*at).ok().and_then(|at| list.get(at));
            item.cloned()
                .ok_or_else(|| format!("error calling index: index out of range: {at}"))?
        }
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            return Ok(Bool(others.contains(first)));
        }
        ("ne", [first, second]) => return Ok(Bool(first != second)),
        ("not", [value]) => return Ok(Bool(!value.is_true())),
        // Both give the value that decided.
        ("and", [_, ..]) => return Ok(decided(arguments, false)),
        ("or", [_, ..]) => return Ok(decided(arguments, true)),
        (name, values) => return Err(wrong_arguments(name, values)),
    };
    Ok(Text(text))
}

fn wrong_arguments(name: &str, values: &[Value]) -> String {
    let wanted = match name {
        "json" | "lower" | "upper" | "title" | "len" | "not" => 1,
        "pad" => 3,
        "and" | "or" => 1,
        _ => 2,
    };
    if values.len() == wanted {
        format!("wrong type of argument for {name}")
    } else {
        format!(
            "wrong number of args for {name}: want {wanted} got {}",
            values.len()
        )
    }
}

/// With a space between two that are both no texts.
fn printed(values: &[Value]) -> String {
    let is_text = |value: &Value| matches!(value, Value::Text(_));
    let mut text = String::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 && !is_text(value) && !is_text(&values[at - 1]) {
            text.push(' ');
        }
        text.push_str(&value.to_string());
    }
    text
}

fn spaced(values: &[Value]) -> String {
    values
        .iter()
        .map(Value::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The first value that is true (or false), or the last one.
fn decided(values: Vec<Value>, by: bool) -> Value {
    let last = values.len() - 1;
    let at = values
        .iter()
        .position(|value| value.is_true() == by)
        .unwrap_or(last);
    values.into_iter().nth(at).expect("it is one of them")
}

/// Each word with a capital.
fn title(text: &str) -> String {
    let mut before = ' ';
    let raised = text.chars().flat_map(|c| {
        let starts = !before.is_alphanumeric() && before != '_';
        before = c;
        let upper: String = if starts {
            c.to_uppercase().collect()
        } else {
            c.to_string()
        };
        upper.chars().collect::<Vec<_>>()
    });
    raised.collect()
}
