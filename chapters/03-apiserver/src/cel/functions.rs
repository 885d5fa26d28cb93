//! Which function a call is of.

use super::authorizer;
use super::budget::{Budget, Failure};
use super::value::Val;
use super::{
    Names, addresses, convert, formats, lists, optionals, quantities, semver, texts, times, urls,
};

/// Calls a function, by its whole name; of one that has a receiver, that is the first value.
pub(super) fn call(
    name: &str,
    values: &[Val],
    names: &dyn Names,
    budget: &mut Budget,
) -> Result<Val, Failure> {
    match (name, values) {
        ("size", [Val::Text(_) | Val::Bytes(_) | Val::List(_) | Val::Map(_)]) => {
            // The letters of text have to be counted.
            if let Val::Text(text) = &values[0] {
                budget.work(text.len() / 16)?;
            }
            Ok(Val::Int(values[0].size() as i64))
        }
        ("type", [value]) => Ok(Val::Type(value.type_name().into())),
        ("dyn", [value]) => Ok(value.clone()),
        (
            "int" | "uint" | "double" | "string" | "bytes" | "bool" | "duration" | "timestamp",
            [value],
        ) => convert::convert(name, value),
        ("quantity" | "isQuantity", [Val::Text(text)]) => quantities::read(name, text),
        ("semver" | "isSemver", _) => semver::read(name, values),
        ("url" | "isURL", [Val::Text(text)]) => urls::read(name, text),
        ("ip" | "isIP" | "ip.isCanonical" | "cidr" | "isCIDR", [Val::Text(text)]) => {
            addresses::read(name, text)
        }
        ("format.named", [Val::Text(name)]) => {
            Ok(Val::Optional(formats::named(name).map(Box::new)))
        }
        ("optional.none" | "optional.of" | "optional.ofNonZeroValue", _) => {
            optionals::make(name, values)
        }
        ("optional.unwrap", [Val::List(list)]) => lists::call("unwrapOpt", list, &[], budget),
        ("lists.range", [Val::Int(count)]) => lists::range(*count, budget),
        ("sets.contains" | "sets.equivalent" | "sets.intersects", [Val::List(a), Val::List(b)]) => {
            lists::sets(name, a, b, budget)
        }
        ("strings.quote", [Val::Text(text)]) => {
            budget.work(text.len())?;
            Ok(Val::text(&texts::quote(text)))
        }
        ("jsonpatch.escapeKey", [Val::Text(key)]) => Ok(Val::text(&texts::escape_key(key))),
        (name, []) => {
            let format = name.strip_prefix("format.").and_then(formats::named);
            format.ok_or_else(Failure::overload)
        }
        (name, [own, rest @ ..]) => method(name, own, rest, names, budget),
    }
}

fn method(
    name: &str,
    own: &Val,
    rest: &[Val],
    names: &dyn Names,
    budget: &mut Budget,
) -> Result<Val, Failure> {
    match (own, rest) {
        (Val::Text(text), rest) => texts::call(name, text, rest, budget),
        (Val::List(list), rest) => lists::call(name, list, rest, budget),
        (Val::Time(at), zone) => times::part(name, *at, zone),
        (Val::Duration(span), []) => times::whole(name, *span),
        (Val::Optional(held), rest) => optionals::call(name, held.as_deref(), rest),
        (Val::Quantity(own), rest) => quantities::call(name, *own, rest),
        (Val::Url(text), []) => urls::call(name, text),
        (Val::Ip(own), []) => addresses::ip(name, own),
        (Val::Cidr(own, bits), rest) => addresses::cidr(name, *own, *bits, rest),
        (Val::Semver(own), rest) => semver::call(name, own, rest),
        (Val::Format(format), [Val::Text(text)]) if name == "validate" => {
            formats::validate(format, text)
        }
        (Val::Check(stage, check), rest) => authorizer::ask(name, *stage, check, rest, names),
        (Val::Decision(decision), []) => authorizer::tell(name, decision),
        _ => Err(Failure::overload()),
    }
}
