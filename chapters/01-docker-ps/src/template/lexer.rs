//! From characters to the words of a template.

use super::{Error, Value};

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// What stands between `{{` and `}}`.
    Action {
        words: Vec<Word>,
        line: usize,
    },
}

/// A word of an action, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub kind: WordKind,
    /// Line and column: `1:2`.
    pub at: String,
    /// As written.
    pub source: String,
    /// Whether a space stands before it: `.Label "x"` are two operands, `.A.B` is one.
    pub spaced: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WordKind {
    Literal(Value),
    /// `.` alone.
    Dot,
    /// `.Name`
    Field(String),
    /// A function, or a word of the language.
    Name(String),
    Pipe,
    Open,
    Close,
}

/// Cuts a template into texts and actions.
pub(super) fn split(template: &str) -> Result<Vec<Piece>, Error> {
    let mut pieces = Vec::new();
    let mut at = 0;
    let mut trim_next = false;
    loop {
        let rest = &template[at..];
        let open = rest.find("{{");
        let mut text = &rest[..open.unwrap_or(rest.len())];
        if trim_next {
            text = text.trim_start();
        }
        let Some(open) = open else {
            push_text(&mut pieces, text);
            return Ok(pieces);
        };
        let mut inside = at + open + 2;
        // `{{- ` takes the spaces before it away, ` -}}` those behind it.
        if template[inside..].starts_with("- ") {
            text = text.trim_end();
            inside += 1;
        }
        push_text(&mut pieces, text);
        let line = line_of(template, inside);
        let comment = template[inside..].trim_start().starts_with("/*");
        let (words, end) = if comment {
            let closed = template[inside..].find("*/").map(|end| inside + end + 2);
            let end = closed.ok_or_else(|| parse_error(line, "unclosed comment"))?;
            (Vec::new(), end)
        } else {
            words(template, inside)?
        };
        let mut rest = &template[end..];
        let before = rest.len();
        rest = rest.trim_start();
        trim_next = rest.starts_with("-}}");
        let rest = rest.strip_prefix('-').unwrap_or(rest);
        if !rest.starts_with("}}") {
            return Err(parse_error(line, "unclosed action"));
        }
        at = end + (before - rest.len()) + 2;
        if !comment {
            pieces.push(Piece::Action { words, line });
        }
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

/// The words from `start` to the end of the action, and where that is.
fn words(template: &str, start: usize) -> Result<(Vec<Word>, usize), Error> {
    let mut words = Vec::new();
    let mut at = start;
    loop {
        let rest = template[at..].trim_start();
        let begin = template.len() - rest.len();
        if rest.is_empty() || rest.starts_with("}}") || rest.starts_with("-}}") {
            return Ok((words, at));
        }
        let (kind, len) = word(rest).map_err(|why| parse_error(line_of(template, begin), &why))?;
        words.push(Word {
            kind,
            at: place(template, begin),
            source: rest[..len].to_owned(),
            spaced: begin > at,
        });
        at = begin + len;
    }
}

/// The word that `rest` begins with, and its length.
fn word(rest: &str) -> Result<(WordKind, usize), String> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let name_len = |text: &str| text.find(|c| !is_name(c)).unwrap_or(text.len());
    let first = rest.chars().next().expect("there is a word");
    match first {
        '|' => Ok((WordKind::Pipe, 1)),
        '(' => Ok((WordKind::Open, 1)),
        ')' => Ok((WordKind::Close, 1)),
        '"' => quoted(rest),
        '`' => {
            let end = rest[1..]
                .find('`')
                .ok_or("unterminated raw quoted string")?;
            let text = &rest[1..=end];
            Ok((WordKind::Literal(text.into()), end + 2))
        }
        '.' => match name_len(&rest[1..]) {
            0 => Ok((WordKind::Dot, 1)),
            len => Ok((WordKind::Field(rest[1..=len].to_owned()), len + 1)),
        },
        '0'..='9' | '-' => {
            let len = 1 + name_len(&rest[1..]);
            let number = rest[..len].parse();
            let number = number.map_err(|_| format!("bad number syntax: {:?}", &rest[..len]))?;
            Ok((WordKind::Literal(Value::Number(number)), len))
        }
        c if is_name(c) => {
            let len = name_len(rest);
            let kind = match &rest[..len] {
                "true" => WordKind::Literal(Value::Bool(true)),
                "false" => WordKind::Literal(Value::Bool(false)),
                "nil" => WordKind::Literal(Value::Nil),
                name => WordKind::Name(name.to_owned()),
            };
            Ok((kind, len))
        }
        c => Err(format!("unexpected {c:?} in operand")),
    }
}

/// A text in double quotes, with escapes.
fn quoted(rest: &str) -> Result<(WordKind, usize), String> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let text = rest[1..at]
                    .replace("\\n", "\n")
                    .replace("\\t", "\t")
                    .replace("\\\"", "\"")
                    .replace("\\\\", "\\");
                return Ok((WordKind::Literal(text.into()), at + 1));
            }
            _ => {}
        }
    }
    Err("unterminated quoted string".into())
}

pub(super) fn parse_error(line: usize, reason: &str) -> Error {
    Error::Parse {
        line,
        reason: reason.to_owned(),
    }
}

fn line_of(template: &str, at: usize) -> usize {
    1 + template[..at].matches('\n').count()
}

fn place(template: &str, at: usize) -> String {
    let line_start = template[..at].rfind('\n').map_or(0, |end| end + 1);
    format!("{}:{}", line_of(template, at), at - line_start)
}
