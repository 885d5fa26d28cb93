//! Go templates, as far as `--format` needs them.
//!
//! ```text
//! {{.Names}} is {{if eq .State "running"}}up{{else}}{{lower .Status}}{{end}}
//! └ Action    └ Text
//! ```
//!
//! | part | here |
//! | --- | --- |
//! | actions | pipelines, `if`/`else`/`end`, comments, trims (`{{-`, `-}}`) |
//! | operands | `.`, fields with arguments, texts, numbers, `true`, `false`, `nil`, brackets |
//! | functions | [`functions`] lists them |
//! | left out | `range`, `with`, `define`, variables |
//!
//! [`Template::parse`] makes a tree of a text, [`Template::execute`] walks it with a source of
//! fields. Messages are Go's, since people look them up.
//!
//! Upstream: `text/template` of Go, and `templates/templates.go` in docker/cli.

pub mod functions;
mod lexer;
mod parser;
mod value;

pub use value::Value;

/// What is wrong with a template, or with a value that was put into it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("failed to parse template: template: :{line}: {reason}")]
    Parse {
        /// Line of the template, from 1.
        line: usize,
        /// Go's words.
        reason: String,
    },
    /// It cannot be carried out.
    #[error(
        "failed to execute template: template: :{at}: executing \"\" at <{expression}>: {reason}"
    )]
    Execute {
        /// Line and column: `1:2`.
        at: String,
        /// The part that failed.
        expression: String,
        /// Go's words.
        reason: String,
    },
}

/// Where a template's fields come from.
pub trait Fields {
    /// The value of `.name`, called with `arguments`.
    ///
    /// # Errors
    /// If there is no such field, or it takes other arguments.
    fn field(&self, name: &str, arguments: &[Value]) -> Result<Value, String>;
    /// All of it: `.`
    fn all(&self) -> Value;
    /// Whether functions leave their argument as it is: in headings, `json .Names` is `NAMES`.
    fn is_heading(&self) -> bool {
        false
    }
}

/// A template that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Text(String),
    Action(Expression),
    If {
        condition: Expression,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

/// An expression, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Expression {
    kind: Kind,
    at: String,
    source: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Literal(Value),
    Dot,
    /// `.Label "tier"`; further names of a chain ask for fields of a value, which has none.
    Field {
        names: Vec<String>,
        arguments: Vec<Expression>,
    },
    /// `truncate .Names 3`; a pipe makes its left side the last argument of its right side.
    Call {
        function: String,
        arguments: Vec<Expression>,
    },
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Template, Error> {
        let nodes = parser::parse(lexer::split(text)?)?;
        Ok(Template { nodes })
    }

    /// The text that it makes of `fields`.
    ///
    /// # Errors
    /// If it asks for what is not there.
    pub fn execute(&self, fields: &dyn Fields) -> Result<String, Error> {
        let mut text = String::new();
        execute(&self.nodes, fields, &mut text)?;
        Ok(text)
    }

    /// Whether `.name` occurs in it.
    pub fn uses(&self, name: &str) -> bool {
        let is_it = |kind: &Kind| matches!(kind, Kind::Field { names, .. } if names[0] == name);
        any(&self.nodes, &is_it)
    }

    /// Whether `.` occurs in it.
    pub fn uses_all(&self) -> bool {
        any(&self.nodes, &|kind| *kind == Kind::Dot)
    }
}

fn execute(nodes: &[Node], fields: &dyn Fields, text: &mut String) -> Result<(), Error> {
    for node in nodes {
        match node {
            Node::Text(literal) => text.push_str(literal),
            Node::Action(expression) => text.push_str(&expression.value(fields)?.to_string()),
            Node::If {
                condition,
                then,
                otherwise,
            } => {
                let holds = condition.value(fields)?.is_true();
                execute(if holds { then } else { otherwise }, fields, text)?;
            }
        }
    }
    Ok(())
}

impl Expression {
    fn value(&self, fields: &dyn Fields) -> Result<Value, Error> {
        let values = |arguments: &[Expression]| -> Result<Vec<Value>, Error> {
            arguments
                .iter()
                .map(|argument| argument.value(fields))
                .collect()
        };
        let value = match &self.kind {
            Kind::Literal(value) => Ok(value.clone()),
            Kind::Dot => Ok(fields.all()),
            Kind::Field { names, arguments } => match &names[..] {
                [name] => fields.field(name, &values(arguments)?),
                [_, further, ..] => Err(format!("can't evaluate field {further} in type string")),
                [] => unreachable!("the parser gives a field a name"),
            },
            Kind::Call {
                function,
                arguments,
            } => {
                let arguments = values(arguments)?;
                if fields.is_heading() && functions::keeps_heading(function) {
                    return Ok(arguments.into_iter().next().unwrap_or(Value::Nil));
                }
                functions::call(function, arguments)
            }
        };
        value.map_err(|reason| Error::Execute {
            at: self.at.clone(),
            expression: self.source.clone(),
            reason,
        })
    }

    fn any(&self, is_it: &dyn Fn(&Kind) -> bool) -> bool {
        let arguments: &[Expression] = match &self.kind {
            Kind::Field { arguments, .. } | Kind::Call { arguments, .. } => arguments,
            Kind::Literal(_) | Kind::Dot => &[],
        };
        is_it(&self.kind) || arguments.iter().any(|argument| argument.any(is_it))
    }
}

fn any(nodes: &[Node], is_it: &dyn Fn(&Kind) -> bool) -> bool {
    nodes.iter().any(|node| match node {
        Node::Text(_) => false,
        Node::Action(expression) => expression.any(is_it),
        Node::If {
            condition,
            then,
            otherwise,
        } => condition.any(is_it) || any(then, is_it) || any(otherwise, is_it),
    })
}
