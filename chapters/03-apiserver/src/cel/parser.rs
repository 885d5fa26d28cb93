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

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// As upstream's compiler shows it.
    pub(super) fn show(&self, text: &str) -> String {
        let before = &text[..self.at.min(text.len())];
        let line = before.matches('\n').count();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[start..].chars().count();
        let shown = text.lines().nth(line).unwrap_or_default();
        format!(
            "ERROR: <input>:{}:{}: {}\n | {shown}\n | {}^",
            line + 1,
            column + 1,
            self.what,
            ".".repeat(column)
        )
    }
}

/// An expression, and where it is: at its operator, its bracket, or where it begins.
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
    /// `a.?b`
    Try(Box<Node>, String),
    /// `a[b]`
    Index(Box<Node>, Box<Node>),
    /// `a[?b]`
    TryIndex(Box<Node>, Box<Node>),
    /// `?a`, as an entry of a list, a map or an object: what it holds, if anything.
    Given(Box<Node>),
    /// `Object{a: b}`
    Struct(String, Vec<(String, Node)>),
    /// `f(a)`, `a.f(b)`
    Call(Option<Box<Node>>, String, Vec<Node>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    /// `all`, `exists`, `exists_one`, `map`, `filter`: over what, the variable, what of each.
    Macro(String, Box<Node>, String, Vec<Node>),
    /// The same, with the key and the value of each.
    Pairs(String, Box<Node>, (String, String), Vec<Node>),
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
            Expr::Select(a, _) | Expr::Has(a, _) | Expr::Try(a, _) => vec![a],
            Expr::Not(a) | Expr::Negative(a) | Expr::Given(a) => vec![a],
            Expr::Index(a, b) | Expr::TryIndex(a, b) => vec![a, b],
            Expr::And(a, b) | Expr::Or(a, b) | Expr::Binary(_, a, b) => vec![a, b],
            Expr::Struct(_, fields) => fields.iter().map(|(_, value)| value).collect(),
            Expr::Choice(a, b, c) => vec![a, b, c],
            Expr::Call(target, _, all) => target.iter().map(|node| &**node).chain(all).collect(),
            Expr::List(all) => all.iter().collect(),
            Expr::Map(all) => all.iter().flat_map(|(key, value)| [key, value]).collect(),
            Expr::Macro(_, range, _, all) | Expr::Pairs(_, range, _, all) => {
                std::iter::once(&**range).chain(all).collect()
            }
        }
    }
}

/// `a.b.c`, if there is nothing else in it.
pub(super) fn dotted(node: &Node) -> Option<String> {
    match &node.expr {
        Expr::Name(name) => Some(name.clone()),
        Expr::Select(of, field) => Some(format!("{}.{field}", dotted(of)?)),
        _ => None,
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

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(found) if *found == sign)
    }

    fn accept(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
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
            Token::Bytes(bytes) => format!("b{:?}", String::from_utf8_lossy(bytes)),
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
        let condition = self.or()?;
        let at = self.at();
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
        while self.is("||") {
            let at = self.at();
            self.take();
            self.link()?;
            let right = self.and()?;
            left = Node {
                at,
                expr: Expr::Or(left.into(), right.into()),
            };
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Node, Problem> {
        let mut left = self.level(0)?;
        while self.is("&&") {
            let at = self.at();
            self.take();
            self.link()?;
            let right = self.level(0)?;
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
            let of = self.unary()?;
            let expr = match of.expr {
                // A number that is below zero is a literal as well.
                Expr::Literal(Val::Int(number)) => Expr::Literal(Val::Int(-number)),
                Expr::Literal(Val::Double(number)) => Expr::Literal(Val::Double(-number)),
                _ => Expr::Negative(of.into()),
            };
            Node { at, expr }
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
                let is_try = self.accept("?");
                let name = self.name()?;
                let called_at = self.at();
                node = if is_try {
                    let expr = Expr::Try(node.into(), name);
                    Node { at, expr }
                } else if self.accept("(") {
                    let arguments = self.list(")")?;
                    let expr = call_on(node, name, arguments, called_at)?;
                    let at = called_at;
                    Node { at, expr }
                } else {
                    let expr = Expr::Select(node.into(), name);
                    Node { at, expr }
                };
            } else if self.accept("[") {
                self.link()?;
                let is_try = self.accept("?");
                let index = self.expression()?;
                self.expect("]")?;
                let expr = match is_try {
                    true => Expr::TryIndex(node.into(), index.into()),
                    false => Expr::Index(node.into(), index.into()),
                };
                node = Node { at, expr };
            } else if let Some(name) = dotted(&node).filter(|_| self.is("{")) {
                self.take();
                let expr = Expr::Struct(name, self.fields()?);
                node = Node { at, expr };
            } else {
                return Ok(node);
            }
        }
    }

    fn name(&mut self) -> Result<String, Problem> {
        let Token::Name(name) = self.peek().clone() else {
            return Err(self.unexpected());
        };
        self.take();
        Ok(name)
    }

    /// Those of an object, up to its end.
    fn fields(&mut self) -> Result<Vec<(String, Node)>, Problem> {
        let mut fields = Vec::new();
        while !self.accept("}") {
            if !fields.is_empty() {
                self.expect(",")?;
                if self.accept("}") {
                    break;
                }
            }
            let at = self.at();
            let is_given = self.accept("?");
            let name = self.name()?;
            self.expect(":")?;
            let value = self.expression()?;
            fields.push((name, if is_given { given(value, at) } else { value }));
        }
        Ok(fields)
    }

    /// An entry of a list or a key of a map.
    fn entry(&mut self) -> Result<Node, Problem> {
        let at = self.at();
        match self.accept("?") {
            true => Ok(given(self.expression()?, at)),
            false => self.expression(),
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
            // Arguments are not given or not: only entries are.
            all.push(match end {
                "]" => self.entry()?,
                _ => self.expression()?,
            });
        }
        Ok(all)
    }

    fn primary(&mut self) -> Result<Node, Problem> {
        let at = self.at();
        let expr = match self.take() {
            Token::Int(number) => Expr::Literal(Val::Int(number)),
            Token::Uint(number) => Expr::Literal(Val::Uint(number)),
            Token::Double(number) => Expr::Literal(Val::Double(number)),
            Token::Text(text) => Expr::Literal(Val::Text(text.into())),
            Token::Bytes(bytes) => Expr::Literal(Val::Bytes(bytes.into())),
            Token::Name(name) => match name.as_str() {
                "true" => Expr::Literal(Val::Bool(true)),
                "false" => Expr::Literal(Val::Bool(false)),
                "null" => Expr::Literal(Val::Null),
                _ if self.is("(") => {
                    let at = self.at();
                    self.take();
                    let arguments = self.list(")")?;
                    let expr = match name == "has" {
                        true => return has(arguments, at),
                        false => Expr::Call(None, name, arguments),
                    };
                    return Ok(Node { at, expr });
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
                    let key = self.entry()?;
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

fn given(of: Node, at: usize) -> Node {
    let expr = Expr::Given(of.into());
    Node { at, expr }
}

fn call_on(of: Node, name: String, mut arguments: Vec<Node>, at: usize) -> Result<Expr, Problem> {
    let (one, two) = match name.as_str() {
        "all" | "exists" | "exists_one" => (2..=2, 3..=3),
        "filter" | "sortBy" | "optMap" | "optFlatMap" => (2..=2, 0..=0),
        "existsOne" => (0..=0, 3..=3),
        "map" => (2..=3, 0..=0),
        "transformList" | "transformMap" | "transformMapEntry" => (0..=0, 3..=4),
        _ => (0..=0, 0..=0),
    };
    let count = arguments.len();
    if count == 0 || !(one.contains(&count) || two.contains(&count)) {
        return Ok(Expr::Call(Some(of.into()), name, arguments));
    }
    let mut variable = || match arguments.remove(0).expr {
        Expr::Name(variable) => Ok(variable),
        _ => Err(Problem::new(
            at,
            "argument must be a simple name".to_owned(),
        )),
    };
    let first = variable()?;
    if one.contains(&count) {
        return Ok(Expr::Macro(name, of.into(), first, arguments));
    }
    let second = variable()?;
    Ok(Expr::Pairs(name, of.into(), (first, second), arguments))
}
