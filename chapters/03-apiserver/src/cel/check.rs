//! Whether names, fields and functions of an expression are known.

use super::functions;
use super::parser::{Expr, Node, Problem};
use super::value::unescape;
use crate::custom::{Additional, Schema};

/// Checks an expression about `self` and `oldSelf` of a schema.
pub(super) fn check(root: &Node, schema: &Schema) -> Result<(), Problem> {
    let mut scope = vec![("self", Some(schema)), ("oldSelf", Some(schema))];
    walk(root, &mut scope).map(|_| ())
}

/// What is known of each variable.
type Scope<'a> = Vec<(&'a str, Option<&'a Schema>)>;

/// What is known of an expression: the schema that it is a part of, if any.
fn walk<'a>(node: &'a Node, scope: &mut Scope<'a>) -> Result<Option<&'a Schema>, Problem> {
    let problem = |what: String| Err(Problem::new(node.at, what));
    match &node.expr {
        Expr::Name(name) => match scope.iter().rev().find(|(known, _)| known == name) {
            Some((_, schema)) => Ok(*schema),
            None if functions::is_type(name) => Ok(None),
            None => problem(format!(
                "undeclared reference to '{name}' (in container '')"
            )),
        },
        Expr::Select(of, field) | Expr::Has(of, field) => {
            if let Expr::Name(name) = &of.expr
                && name == "optional"
            {
                return Ok(None);
            }
            match walk(of, scope)? {
                None => Ok(None),
                Some(schema) => match field_of(schema, field) {
                    Field::Known(schema) => Ok(Some(schema)),
                    Field::Any => Ok(None),
                    Field::None => problem(format!("undefined field '{field}'")),
                },
            }
        }
        Expr::Index(of, index) => {
            walk(index, scope)?;
            let of = walk(of, scope)?;
            Ok(of.and_then(entry_of))
        }
        Expr::Macro(_, range, variable, arguments) => {
            let range = walk(range, scope)?;
            let entry = range
                .filter(|range| range.kind == "array")
                .and_then(entry_of);
            scope.push((variable, entry));
            for argument in arguments {
                walk(argument, scope)?;
            }
            scope.pop();
            Ok(None)
        }
        Expr::Call(target, name, arguments) => {
            let of_optional = matches!(target.as_deref(), Some(Node { expr: Expr::Name(name), .. }) if name == "optional");
            for inner in target
                .iter()
                .filter(|_| !of_optional)
                .map(|node| &**node)
                .chain(arguments)
            {
                walk(inner, scope)?;
            }
            let made = of_optional && matches!(name.as_str(), "none" | "of");
            match made || functions::is_known(name, target.is_some()) {
                true => Ok(None),
                false => problem(format!(
                    "undeclared reference to '{name}' (in container '')"
                )),
            }
        }
        _ => {
            for child in node.children() {
                walk(child, scope)?;
            }
            Ok(None)
        }
    }
}

enum Field<'a> {
    Known(&'a Schema),
    Any,
    None,
}

fn field_of<'a>(schema: &'a Schema, name: &str) -> Field<'a> {
    let plain = unescape(name);
    if let Some(field) = schema.properties.get(&plain) {
        return Field::Known(field);
    }
    match &schema.additional {
        Some(Additional::Schema(inner)) => return Field::Known(inner),
        Some(Additional::Any(true)) => return Field::Any,
        _ => {}
    }
    let is_meta = schema.embedded && matches!(name, "apiVersion" | "kind" | "metadata");
    // What is not in the schema cannot be named, though it may be kept.
    match schema.kind.as_str() {
        _ if is_meta => Field::Any,
        "object" => Field::None,
        _ => Field::Any,
    }
}

fn entry_of(schema: &Schema) -> Option<&Schema> {
    match (&schema.items, &schema.additional) {
        (Some(items), _) => Some(items),
        (None, Some(Additional::Schema(inner))) => Some(inner),
        _ => None,
    }
}
