//! Text to tokens.

use super::parser::Problem;

/// A token, and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    /// `b'a'`: what stands there, not what it means.
    Bytes(String),
    Name(String),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// Longer ones first.
const SIGNS: &[&str] = &[
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", "(", ")",
    "[", "]", "{", "}", ",", ".",
];

pub(super) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, Problem> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let first = rest.chars().next().unwrap_or_default();
        let (token, length) = match first {
            _ if first.is_whitespace() => {
                at += first.len_utf8();
                continue;
            }
            _ if rest.starts_with("//") => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            '"' | '\'' => string(rest, false, at)?,
            'r' | 'R' if rest[1..].starts_with(['"', '\'']) => {
                let (token, length) = string(&rest[1..], true, at)?;
                (token, length + 1)
            }
            'b' | 'B' if rest[1..].starts_with(['"', '\'']) => {
                // Its octal escapes are not those of text: it is taken as it stands.
                let (token, length) = string(&rest[1..], true, at)?;
                let Token::Text(text) = token else {
                    return Err(Problem::new(at, "Syntax error: no bytes".to_owned()));
                };
                (Token::Bytes(text), length + 1)
            }
            '0'..='9' => number(rest, at)?,
            '_' | 'a'..='z' | 'A'..='Z' => {
                let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
                let end = end.unwrap_or(rest.len());
                (Token::Name(rest[..end].to_owned()), end)
            }
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (Token::Sign(sign), sign.len()),
                None => {
                    let what = format!("Syntax error: token recognition error at: '{first}'");
                    return Err(Problem::new(at, what));
                }
            },
        };
        tokens.push((token, at));
        at += length;
    }
    tokens.push((Token::End, text.len()));
    Ok(tokens)
}

fn number(text: &str, at: usize) -> Result<(Token, usize), Problem> {
    let wrong = |what: &str| Problem::new(at, format!("invalid {what} literal"));
    if let Some(hex) = text.strip_prefix("0x") {
        let end = hex
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(hex.len());
        let value = i64::from_str_radix(&hex[..end], 16).map_err(|_| wrong("int"))?;
        return Ok((Token::Int(value), end + 2));
    }
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        from + bytes[from..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count()
    };
    let mut end = digits(0);
    let mut whole = true;
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        whole = false;
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        whole = false;
        end = digits(end + 1 + sign);
    }
    if !whole {
        let value = text[..end].parse().map_err(|_| wrong("double"))?;
        return Ok((Token::Double(value), end));
    }
    if matches!(bytes.get(end), Some(b'u' | b'U')) {
        let value = text[..end].parse().map_err(|_| wrong("uint"))?;
        return Ok((Token::Uint(value), end + 1));
    }
    let value = text[..end].parse().map_err(|_| wrong("int"))?;
    Ok((Token::Int(value), end))
}

fn string(text: &str, raw: bool, at: usize) -> Result<(Token, usize), Problem> {
    let quote = &text[..1];
    let triple = quote.repeat(3);
    let end_mark = if text.starts_with(&triple) {
        triple.as_str()
    } else {
        quote
    };
    let mut value = String::new();
    let mut here = end_mark.len();
    loop {
        let rest = &text[here..];
        let Some(c) = rest.chars().next() else {
            return Err(Problem::new(
                at,
                "Syntax error: missing the end of a string".to_owned(),
            ));
        };
        if rest.starts_with(end_mark) {
            return Ok((Token::Text(value), here + end_mark.len()));
        }
        if c != '\\' || raw {
            value.push(c);
            here += c.len_utf8();
            continue;
        }
        let escaped = rest[1..].chars().next().unwrap_or_default();
        here += 1 + escaped.len_utf8();
        let hex = |digits: usize| {
            let code = text.get(here..here + digits)?;
            char::from_u32(u32::from_str_radix(code, 16).ok()?)
        };
        let (c, more) = match escaped {
            'n' => (Some('\n'), 0),
            't' => (Some('\t'), 0),
            'r' => (Some('\r'), 0),
            'a' => (Some('\x07'), 0),
            'b' => (Some('\x08'), 0),
            'f' => (Some('\x0c'), 0),
            'v' => (Some('\x0b'), 0),
            'x' => (hex(2), 2),
            'u' => (hex(4), 4),
            'U' => (hex(8), 8),
            '\\' | '\'' | '"' | '`' | '?' => (Some(escaped), 0),
            _ => (None, 0),
        };
        let Some(c) = c else {
            return Err(Problem::new(
                at,
                "Syntax error: no such escape in a string".to_owned(),
            ));
        };
        value.push(c);
        here += more;
    }
}
