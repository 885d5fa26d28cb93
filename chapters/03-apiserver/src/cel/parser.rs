//! Tokens to a tree.

use super::lexer::{Token, tokens};
use super::value::Val;

/// How deep expressions may be in expressions.
const DEPTH_MAX: usize = 64;
/// How many operators, fields and calls may follow one another: each is a level of the tree.
const LINKS_MAX: usize = 300;

/// What is wrong with an expression, and where.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Problem {
    at: usize,
    what: String,
}

impl Problem {
    pub(super) fn new(at: usize, what: String) -> Problem {
        Problem { at, what }
    }

    /// As upstream's compiler shows it.
    pub(super) fn show(&self, text: &str) -> String {
        let before = &text[..self.at.min(text.len())];
        let line = before.matches('\n').count();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[start..].chars().count();
        let shown = text.lines().nth(line).unwrap_or_default();
        format!(
            "compilation failed: ERROR: <input>:{}:{}: {}\n | {shown}\n | {}^",
            line + 1,
            column + 1,
            self.what,
            ".".repeat(column)
        )
    }
}

/// An expression, and where it begins.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: usize,
    pub(super) expr: Expr,
}

#[derive(Debug, Clone)]
pub(super) enum Expr {
    Literal(Val),
    Name(String),
    /// `a.b`
    Select(Box<Node>, String),
    /// `has(a.b)`
    Has(Box<Node>, String),
    /// `a[b]`
    Index(Box<Node>, Box<Node>),
    /// `f(a)`, `a.f(b)`
    Call(Option<Box<Node>>, String, Vec<Node>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    /// `all`, `exists`, `exists_one`, `map`, `filter`: over what, the variable, what of each.
    Macro(String, Box<Node>, String, Vec<Node>),
    Not(Box<Node>),
    Negative(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    /// Of two values.
    Binary(&'static str, Box<Node>, Box<Node>),
    Choice(Box<Node>, Box<Node>, Box<Node>),
}

impl Node {
    /// Whether a variable is named in it.
    pub(super) fn names(&self, wanted: &str) -> bool {
        if matches!(&self.expr, Expr::Name(name) if name == wanted) {
            return true;
        }
        self.children().into_iter().any(|child| child.names(wanted))
    }

    pub(super) fn children(&self) -> Vec<&Node> {
        match &self.expr {
            Expr::Literal(_) | Expr::Name(_) => Vec::new(),
            Expr::Select(a, _) | Expr::Has(a, _) | Expr::Not(a) | Expr::Negative(a) => vec![a],
            Expr::Index(a, b) | Expr::And(a, b) | Expr::Or(a, b) | Expr::Binary(_, a, b) => {
                vec![a, b]
            }
            Expr::Choice(a, b, c) => vec![a, b, c],
            Expr::Call(target, _, all) => target.iter().map(|node| &**node).chain(all).collect(),
            Expr::List(all) => all.iter().collect(),
            Expr::Map(all) => all.iter().flat_map(|(key, value)| [key, value]).collect(),
            Expr::Macro(_, range, _, all) => std::iter::once(&**range).chain(all).collect(),
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        next: 0,
        depth: 0,
        links: 0,
    };
    let root = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(root),
        _ => Err(parser.unexpected()),
    }
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    next: usize,
    depth: usize,
    links: usize,
}

const LEVELS: &[&[&str]] = &[
    &["==", "!=", "<", "<=", ">", ">=", "in"],
    &["+", "-"],
    &["*", "/", "%"],
];

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].0
    }

    fn at(&self) -> usize {
        self.tokens[self.next].1
    }

    fn take(&mut self) -> Token {
        let token = self.tokens[self.next].0.clone();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    fn accept(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(found) if *found == sign);
        if found {
            self.take();
        }
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), Problem> {
        match self.accept(sign) {
            true => Ok(()),
            false => Err(self.unexpected()),
        }
    }

    fn unexpected(&self) -> Problem {
        let found = match self.peek() {
            Token::End => "<EOF>".to_owned(),
            Token::Sign(sign) => (*sign).to_owned(),
            Token::Name(name) => name.clone(),
            Token::Text(text) => format!("{text:?}"),
            Token::Int(number) => number.to_string(),
            Token::Uint(number) => format!("{number}u"),
            Token::Double(number) => number.to_string(),
        };
        Problem::new(self.at(), format!("Syntax error: unexpected '{found}'"))
    }

    fn link(&mut self) -> Result<(), Problem> {
        self.links += 1;
        match self.links > LINKS_MAX {
            true => Err(self.too_deep()),
            false => Ok(()),
        }
    }

    fn too_deep(&self) -> Problem {
        Problem::new(self.at(), "expression recursion limit exceeded".to_owned())
    }

    fn expression(&mut self) -> Result<Node, Problem> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.too_deep());
        }
        let at = self.at();
        let condition = self.or()?;
        let node = if self.accept("?") {
            let yes = self.or()?;
            self.expect(":")?;
            let no = self.expression()?;
            let expr = Expr::Choice(condition.into(), yes.into(), no.into());
            Node { at, expr }
        } else {
            condition
        };
        self.depth -= 1;
        Ok(node)
    }

    fn or(&mut self) -> Result<Node, Problem> {
        let mut left = self.and()?;
        while self.accept("||") {
            self.link()?;
            let (at, right) = (left.at, self.and()?);
            left = Node {
                at,
                expr: Expr::Or(left.into(), right.into()),
            };
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Node, Problem> {
        let mut left = self.level(0)?;
        while self.accept("&&") {
            self.link()?;
            let (at, right) = (left.at, self.level(0)?);
            left = Node {
                at,
                expr: Expr::And(left.into(), right.into()),
            };
        }
        Ok(left)
    }

    /// Operators of two values, those that bind least first.
    fn level(&mut self, level: usize) -> Result<Node, Problem> {
        let Some(operators) = LEVELS.get(level) else {
            return self.unary();
        };
        let mut left = self.level(level + 1)?;
        loop {
            let found = operators.iter().find(|operator| match self.peek() {
                Token::Sign(sign) => sign == *operator,
                Token::Name(name) => name == "in" && **operator == "in",
                _ => false,
            });
            let Some(operator) = found else {
                return Ok(left);
            };
            self.link()?;
            let at = self.at();
            self.take();
            let right = self.level(level + 1)?;
            left = Node {
                at,
                expr: Expr::Binary(operator, left.into(), right.into()),
            };
        }
    }

    fn unary(&mut self) -> Result<Node, Problem> {
        let at = self.at();
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.too_deep());
        }
        let node = if self.accept("!") {
            Node {
                at,
                expr: Expr::Not(self.unary()?.into()),
            }
        } else if self.accept("-") {
            Node {
                at,
                expr: Expr::Negative(self.unary()?.into()),
            }
        } else {
            self.member()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn member(&mut self) -> Result<Node, Problem> {
        let mut node = self.primary()?;
        loop {
            let at = self.at();
            if self.accept(".") {
                self.link()?;
                let Token::Name(name) = self.take() else {
                    self.next -= 1;
                    return Err(self.unexpected());
                };
                let expr = match self.accept("(") {
                    false => Expr::Select(node.into(), name),
                    true => {
                        let arguments = self.list(")")?;
                        call_on(node, name, arguments, at)?
                    }
                };
                node = Node { at, expr };
            } else if self.accept("[") {
                self.link()?;
                let index = self.expression()?;
                self.expect("]")?;
                node = Node {
                    at,
                    expr: Expr::Index(node.into(), index.into()),
                };
            } else {
                return Ok(node);
            }
        }
    }

    fn list(&mut self, end: &str) -> Result<Vec<Node>, Problem> {
        let mut all = Vec::new();
        while !self.accept(end) {
            if !all.is_empty() {
                self.expect(",")?;
                if self.accept(end) {
                    break;
                }
            }
            all.push(self.expression()?);
        }
        Ok(all)
    }

    fn primary(&mut self) -> Result<Node, Problem> {
        let at = self.at();
        let expr = match self.take() {
            Token::Int(number) => Expr::Literal(Val::Int(number)),
            Token::Uint(number) => Expr::Literal(Val::Uint(number)),
            Token::Double(number) => Expr::Literal(Val::Double(number)),
            Token::Text(text) => Expr::Literal(Val::Text(text)),
            Token::Name(name) => match name.as_str() {
                "true" => Expr::Literal(Val::Bool(true)),
                "false" => Expr::Literal(Val::Bool(false)),
                "null" => Expr::Literal(Val::Null),
                _ if self.accept("(") => {
                    let arguments = self.list(")")?;
                    match name == "has" {
                        true => return has(arguments, at),
                        false => Expr::Call(None, name, arguments),
                    }
                }
                _ => Expr::Name(name),
            },
            Token::Sign("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Sign("[") => Expr::List(self.list("]")?),
            Token::Sign("{") => {
                let mut all = Vec::new();
                while !self.accept("}") {
                    if !all.is_empty() {
                        self.expect(",")?;
                    }
                    let key = self.expression()?;
                    self.expect(":")?;
                    all.push((key, self.expression()?));
                }
                Expr::Map(all)
            }
            _ => {
                self.next = self
                    .tokens
                    .iter()
                    .position(|(_, place)| *place == at)
                    .unwrap_or(0);
                return Err(self.unexpected());
            }
        };
        Ok(Node { at, expr })
    }
}

fn has(mut arguments: Vec<Node>, at: usize) -> Result<Node, Problem> {
    match (arguments.pop(), arguments.is_empty()) {
        (
            Some(Node {
                expr: Expr::Select(of, field),
                ..
            }),
            true,
        ) => Ok(Node {
            at,
            expr: Expr::Has(of, field),
        }),
        _ => Err(Problem::new(
            at,
            "invalid argument to has() macro".to_owned(),
        )),
    }
}

fn call_on(of: Node, name: String, mut arguments: Vec<Node>, at: usize) -> Result<Expr, Problem> {
    let is_macro = match name.as_str() {
        "all" | "exists" | "exists_one" | "filter" => arguments.len() == 2,
        "map" => matches!(arguments.len(), 2 | 3),
        _ => false,
    };
    if !is_macro {
        return Ok(Expr::Call(Some(of.into()), name, arguments));
    }
    match arguments.remove(0).expr {
        Expr::Name(variable) => Ok(Expr::Macro(name, of.into(), variable, arguments)),
        _ => Err(Problem::new(
            at,
            "argument must be a simple name".to_owned(),
        )),
    }
}
