//! The words of the label selector language.

/// One word of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A key or a value; `in` and `notin` too, which only the parser can tell from values.
    Word(String),
    /// An operator or a bracket.
    Symbol(&'static str),
    /// The end of the text.
    End,
}

impl Token {
    /// The token as it was written; what the messages quote.
    pub(super) fn text(&self) -> String {
        match self {
            Token::Word(word) => word.clone(),
            Token::Symbol(symbol) => (*symbol).to_owned(),
            Token::End => String::new(),
        }
    }
}

const SYMBOLS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"];

fn is_symbol(c: char) -> bool {
    "=!(),><".contains(c)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// Splits a selector into words; the last one is always [`Token::End`].
pub(super) fn tokens(mut text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    loop {
        text = text.trim_start_matches(is_space);
        let Some(first) = text.chars().next() else {
            break;
        };
        // A zero byte ends the text, as it does in upstream's lexer.
        if first == '\0' {
            break;
        }
        if is_symbol(first) {
            let symbol = SYMBOLS
                .iter()
                .find(|symbol| text.starts_with(**symbol))
                .expect("each symbol's character is a symbol by itself");
            tokens.push(Token::Symbol(symbol));
            text = &text[symbol.len()..];
        } else {
            let end = text.find(|c| is_symbol(c) || is_space(c) || c == '\0');
            let (word, rest) = text.split_at(end.unwrap_or(text.len()));
            tokens.push(Token::Word(word.to_owned()));
            text = rest;
        }
    }
    tokens.push(Token::End);
    tokens
}
