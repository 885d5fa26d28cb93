//! Text to tokens.

use super::parser::Problem;

/// A token, and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    /// `b'a'`
    Bytes(Vec<u8>),
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
            _ if quoted(rest).is_some() => {
                let (prefix, is_bytes, is_raw) = quoted(rest).unwrap_or_default();
                let (token, length) = string(&rest[prefix..], is_bytes, is_raw, at)?;
                (token, prefix + length)
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

/// How many letters stand before the quote, whether it is of bytes, and whether it is raw; none,
/// if it is no literal of text or bytes.
fn quoted(text: &str) -> Option<(usize, bool, bool)> {
    let (mut is_bytes, mut is_raw) = (false, false);
    for (at, letter) in text.chars().enumerate().take(3) {
        match letter {
            '"' | '\'' => return Some((at, is_bytes, is_raw)),
            'b' | 'B' if !is_bytes => is_bytes = true,
            'r' | 'R' if !is_raw => is_raw = true,
            _ => return None,
        }
    }
    None
}

fn string(text: &str, is_bytes: bool, is_raw: bool, at: usize) -> Result<(Token, usize), Problem> {
    let wrong = |what: &str| Problem::new(at, format!("Syntax error: {what}"));
    let quote = &text[..1];
    let triple = quote.repeat(3);
    let end_mark = match text.starts_with(&triple) {
        true => triple.as_str(),
        false => quote,
    };
    let mut value: Vec<u8> = Vec::new();
    let mut here = end_mark.len();
    loop {
        let rest = &text[here..];
        let Some(c) = rest.chars().next() else {
            return Err(wrong("missing the end of a string"));
        };
        if rest.starts_with(end_mark) {
            let token = match is_bytes {
                true => Token::Bytes(value),
                false => {
                    let text = String::from_utf8(value);
                    Token::Text(text.map_err(|_| wrong("a string that is no text"))?)
                }
            };
            return Ok((token, here + end_mark.len()));
        }
        if c != '\\' || is_raw {
            value.extend(c.encode_utf8(&mut [0; 4]).bytes());
            here += c.len_utf8();
            continue;
        }
        let no_escape = || wrong("no such escape in a string");
        let (byte_or_letter, length) = escape(&rest[1..]).ok_or_else(no_escape)?;
        here += 1 + length;
        match byte_or_letter {
            Escape::Letter(letter) => value.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
            // Of text, it is the letter of this number.
            Escape::Byte(byte) if is_bytes => value.push(byte),
            Escape::Byte(byte) => {
                value.extend(char::from(byte).encode_utf8(&mut [0; 4]).bytes());
            }
        }
    }
}

/// What stands for something else.
enum Escape {
    Letter(char),
    Byte(u8),
}

/// What follows a backslash, and how long it is.
fn escape(text: &str) -> Option<(Escape, usize)> {
    let first = text.chars().next()?;
    let number = |from: usize, digits: usize, base: u32| {
        let code = text.get(from..from + digits)?;
        let is_number = code.chars().all(|c| c.is_digit(base));
        u32::from_str_radix(code, base).ok().filter(|_| is_number)
    };
    let letter = |digits: usize| {
        let letter = char::from_u32(number(1, digits, 16)?)?;
        Some((Escape::Letter(letter), 1 + digits))
    };
    let byte = |code: Option<u32>, length: usize| {
        let byte = u8::try_from(code?).ok()?;
        Some((Escape::Byte(byte), length))
    };
    let plain = match first {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'v' => '\x0b',
        'x' | 'X' => return byte(number(1, 2, 16), 3),
        '0'..='3' => return byte(number(0, 3, 8), 3),
        'u' => return letter(4),
        'U' => return letter(8),
        '\\' | '\'' | '"' | '`' | '?' => first,
        _ => return None,
    };
    Some((Escape::Letter(plain), 1))
}
