//! From the words of a template to its tree.

use std::iter::Peekable;
use std::vec::IntoIter;

use super::lexer::{Piece, Word, WordKind, parse_error};
use super::{Error, Expression, Kind, Node, functions};

type Pieces = Peekable<IntoIter<Piece>>;

/// What a list of nodes ended with.
enum Stop {
    Else,
    End,
    Eof,
}

pub(super) fn parse(pieces: Vec<Piece>) -> Result<Vec<Node>, Error> {
    let mut pieces = pieces.into_iter().peekable();
    let mut line = 1;
    let (nodes, end) = list(&mut pieces, &mut line)?;
    match end {
        Stop::Eof => Ok(nodes),
        Stop::End => Err(parse_error(line, "unexpected {{end}}")),
        Stop::Else => Err(parse_error(line, "unexpected {{else}}")),
    }
}

fn list(pieces: &mut Pieces, at_line: &mut usize) -> Result<(Vec<Node>, Stop), Error> {
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let (mut words, line) = match piece {
            Piece::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Piece::Action { words, line } => (words, line),
        };
        *at_line = line;
        let keyword = match words.first().map(|word| &word.kind) {
            Some(WordKind::Name(name)) => name.clone(),
            _ => String::new(),
        };
        match keyword.as_str() {
            "end" => return Ok((nodes, Stop::End)),
            "else" => return Ok((nodes, Stop::Else)),
            "if" => {
                let condition = expression(words.split_off(1), line)?;
                nodes.push(branches(condition, pieces, at_line)?);
            }
            left_out @ ("range" | "with" | "define" | "template" | "block") => {
                return Err(parse_error(
                    line,
                    &format!("{{{{{left_out}}}}} is left out here"),
                ));
            }
            _ => nodes.push(Node::Action(expression(words, line)?)),
        }
    }
    Ok((nodes, Stop::Eof))
}

/// What stands between `{{if}}` and its `{{end}}`.
fn branches(condition: Expression, pieces: &mut Pieces, line: &mut usize) -> Result<Node, Error> {
    let (then, end) = list(pieces, line)?;
    let (otherwise, end) = match end {
        Stop::Else => list(pieces, line)?,
        end => (Vec::new(), end),
    };
    match end {
        Stop::End => Ok(Node::If {
            condition,
            then,
            otherwise,
        }),
        Stop::Eof => Err(parse_error(*line, "unexpected EOF")),
        Stop::Else => Err(parse_error(*line, "expected end; found {{else}}")),
    }
}

fn expression(words: Vec<Word>, line: usize) -> Result<Expression, Error> {
    let mut words = words.into_iter().peekable();
    let expression = pipeline(&mut words, line)?;
    match words.next() {
        None => Ok(expression),
        Some(word) if word.kind == WordKind::Close => {
            Err(parse_error(line, "unexpected right paren"))
        }
        Some(word) => Err(parse_error(
            line,
            &format!("unexpected <{}> in operand", word.source),
        )),
    }
}

type Words = Peekable<IntoIter<Word>>;

/// `a | b x` is `b x a`.
fn pipeline(words: &mut Words, line: usize) -> Result<Expression, Error> {
    let mut result = command(words, line)?;
    while words.next_if(|word| word.kind == WordKind::Pipe).is_some() {
        let mut next = command(words, line)?;
        match &mut next.kind {
            Kind::Call { arguments, .. } | Kind::Field { arguments, .. } => arguments.push(result),
            Kind::Literal(_) | Kind::Dot => {
                let reason = "non executable command in pipeline stage 2";
                return Err(parse_error(line, reason));
            }
        }
        result = next;
    }
    Ok(result)
}

/// An operand, with arguments if it takes any.
fn command(words: &mut Words, line: usize) -> Result<Expression, Error> {
    let mut first = operand(words, line)?;
    let mut source = first.source.clone();
    let mut further = Vec::new();
    let ends = |word: &Word| matches!(word.kind, WordKind::Pipe | WordKind::Close);
    while let Some(word) = words.peek()
        && !ends(word)
    {
        if !word.spaced {
            return Err(parse_error(
                line,
                &format!("unexpected <{}> in operand", word.source),
            ));
        }
        let argument = operand(words, line)?;
        source = format!("{source} {}", argument.source);
        further.push(argument);
    }
    match &mut first.kind {
        // What a field is asked with does not belong to its name in messages.
        Kind::Field { arguments, .. } => *arguments = further,
        Kind::Call { arguments, .. } if arguments.is_empty() => {
            *arguments = further;
            first.source = source;
        }
        _ if further.is_empty() => {}
        _ => {
            let reason = format!("can't give argument to non-function {}", first.source);
            return Err(parse_error(line, &reason));
        }
    }
    Ok(first)
}

fn operand(words: &mut Words, line: usize) -> Result<Expression, Error> {
    let Some(word) = words.next() else {
        return Err(parse_error(line, "missing value for command"));
    };
    let mut source = word.source.clone();
    let mut at = word.at.clone();
    let kind = match word.kind {
        WordKind::Literal(value) => Kind::Literal(value),
        WordKind::Dot => Kind::Dot,
        WordKind::Field(name) => {
            let mut names = vec![name];
            let follows = |word: &Word| !word.spaced && matches!(word.kind, WordKind::Field(_));
            while let Some(next) = words.next_if(follows) {
                source.push_str(&next.source);
                at = next.at;
                names.extend(next.source.strip_prefix('.').map(str::to_owned));
            }
            let arguments = Vec::new();
            Kind::Field { names, arguments }
        }
        WordKind::Name(name) if functions::is_known(&name) => Kind::Call {
            function: name,
            arguments: Vec::new(),
        },
        WordKind::Name(name) => {
            return Err(parse_error(line, &format!("function {name:?} not defined")));
        }
        WordKind::Open => {
            let inner = pipeline(words, line)?;
            if words.next_if(|word| word.kind == WordKind::Close).is_none() {
                return Err(parse_error(line, "unclosed left paren"));
            }
            return Ok(inner);
        }
        WordKind::Pipe => return Err(parse_error(line, "missing value for command")),
        WordKind::Close => return Err(parse_error(line, "unexpected right paren")),
    };
    Ok(Expression { kind, at, source })
}
