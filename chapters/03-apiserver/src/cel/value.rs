//! Values.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::authorizer::{Check, Decision, Stage};
use super::budget::{Budget, Failure};
use super::formats::Format;
use super::semver::Semver;

/// A value of an expression. What may be large is shared: to hand a value on costs nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Val {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// `1`
    Int(i64),
    /// `1u`
    Uint(u64),
    /// `1.5`
    Double(f64),
    /// `"a"`
    Text(Arc<str>),
    /// `b"a"`, and text of format `byte`, decoded.
    Bytes(Arc<[u8]>),
    /// `[1, 2]`
    List(Arc<Vec<Val>>),
    /// `{"a": 1}`, and every object
    Map(Arc<BTreeMap<Key, Val>>),
    /// `Object{a: 1}`, `JSONPatch{op: "add"}`
    Made(Arc<Made>),
    /// Text of format `duration`.
    Duration(SignedDuration),
    /// Text of format `date-time`.
    Time(Timestamp),
    /// In units of 10⁻⁹.
    Quantity(i128),
    /// A URL, as text.
    Url(Arc<str>),
    /// An address.
    Ip(IpAddr),
    /// A network: an address, and how many bits of it count.
    Cidr(IpAddr, u8),
    /// `semver("1.2.3")`
    Semver(Arc<Semver>),
    /// `format.dns1123Label()`
    Format(&'static Format),
    /// A check that is being built: `authorizer.group("")`.
    Check(Stage, Arc<Check>),
    /// What was said to a check.
    Decision(Arc<Decision>),
    /// Something, or nothing: `oldSelf` of rules that say so.
    Optional(Option<Box<Val>>),
    /// The name of a type: `int`.
    Type(Arc<str>),
}

/// What stands for a value in a map.
#[derive(Debug, Clone)]
pub enum Key {
    /// `true`
    Bool(bool),
    /// `1`
    Int(i64),
    /// `1u`, which is the same key as `1`.
    Uint(u64),
    /// `"a"`
    Text(Arc<str>),
}

/// An object that an expression made.
#[derive(Debug, PartialEq)]
pub struct Made {
    /// The name of its type: `Object.spec`, `JSONPatch`.
    pub name: String,
    /// Its fields, those alone that were given.
    pub fields: BTreeMap<String, Val>,
}

impl Val {
    /// Text.
    pub fn text(text: &str) -> Val {
        Val::Text(text.into())
    }

    /// A list.
    pub fn list(all: Vec<Val>) -> Val {
        Val::List(Arc::new(all))
    }

    /// A map, or an object, by the names of its fields.
    pub fn map<K: Into<Key>>(fields: impl IntoIterator<Item = (K, Val)>) -> Val {
        let fields = fields.into_iter().map(|(key, value)| (key.into(), value));
        Val::Map(Arc::new(fields.collect()))
    }

    /// Something.
    pub(super) fn some(value: Val) -> Val {
        Val::Optional(Some(Box::new(value)))
    }

    /// What `type()` calls it.
    pub fn type_name(&self) -> &str {
        match self {
            Val::Null => "null_type",
            Val::Bool(_) => "bool",
            Val::Int(_) => "int",
            Val::Uint(_) => "uint",
            Val::Double(_) => "double",
            Val::Text(_) => "string",
            Val::Bytes(_) => "bytes",
            Val::List(_) => "list",
            Val::Map(_) => "map",
            Val::Made(made) => &made.name,
            Val::Duration(_) => "google.protobuf.Duration",
            Val::Time(_) => "google.protobuf.Timestamp",
            Val::Quantity(_) => "kubernetes.Quantity",
            Val::Url(_) => "kubernetes.URL",
            Val::Ip(_) => "net.IP",
            Val::Cidr(..) => "net.CIDR",
            Val::Semver(_) => "kubernetes.Semver",
            Val::Format(_) => "kubernetes.NamedFormat",
            Val::Check(Stage::Authorizer, _) => "kubernetes.authorization.Authorizer",
            Val::Check(Stage::Path, _) => "kubernetes.authorization.PathCheck",
            Val::Check(Stage::Group, _) => "kubernetes.authorization.GroupCheck",
            Val::Check(Stage::Resource, _) => "kubernetes.authorization.ResourceCheck",
            Val::Decision(_) => "kubernetes.authorization.Decision",
            Val::Optional(_) => "optional_type",
            Val::Type(_) => "type",
        }
    }

    /// Whether both are the same; numbers of all types are compared as numbers.
    pub(super) fn equals(&self, other: &Val, budget: &mut Budget) -> Result<bool, Failure> {
        budget.work(1)?;
        Ok(match (self, other) {
            (Val::List(a), Val::List(b)) => {
                a.len() == b.len() && all(a.iter().zip(b.iter()), |(a, b)| a.equals(b, budget))?
            }
            (Val::Map(a), Val::Map(b)) => {
                a.len() == b.len()
                    && all(a.iter(), |(key, a)| match b.get(key) {
                        Some(b) => a.equals(b, budget),
                        None => Ok(false),
                    })?
            }
            (Val::Made(a), Val::Made(b)) => {
                a.name == b.name
                    && a.fields.len() == b.fields.len()
                    && all(a.fields.iter(), |(name, a)| match b.fields.get(name) {
                        Some(b) => a.equals(b, budget),
                        None => Ok(false),
                    })?
            }
            (Val::Optional(Some(a)), Val::Optional(Some(b))) => a.equals(b, budget)?,
            (Val::Text(a), Val::Text(b)) => {
                budget.work(a.len().min(b.len()) / 16)?;
                a == b
            }
            (a, b) => match a.compare(b) {
                Some(order) => order == Ordering::Equal,
                None => a == b,
            },
        })
    }

    /// The order of two values that have one.
    pub(super) fn compare(&self, other: &Val) -> Option<Ordering> {
        match (self, other) {
            (Val::Text(a), Val::Text(b)) => Some(a.cmp(b)),
            (Val::Bytes(a), Val::Bytes(b)) => Some(a.cmp(b)),
            (Val::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
            (Val::Duration(a), Val::Duration(b)) => Some(a.cmp(b)),
            (Val::Time(a), Val::Time(b)) => Some(a.cmp(b)),
            (Val::Quantity(a), Val::Quantity(b)) => Some(a.cmp(b)),
            (Val::Semver(a), Val::Semver(b)) => Some(a.compare(b)),
            (a, b) => match (a.whole(), b.whole()) {
                (Some(a), Some(b)) => Some(a.cmp(&b)),
                _ => a.number()?.partial_cmp(&b.number()?),
            },
        }
    }

    fn whole(&self) -> Option<i128> {
        match self {
            Val::Int(number) => Some(i128::from(*number)),
            Val::Uint(number) => Some(i128::from(*number)),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Val::Double(number) => Some(*number),
            other => other.whole().map(|number| number as f64),
        }
    }

    /// How large it is, as cost counts it: what has no size is one.
    pub(super) fn size(&self) -> u64 {
        match self {
            Val::Text(text) => text.chars().count() as u64,
            Val::Bytes(bytes) => bytes.len() as u64,
            Val::List(list) => list.len() as u64,
            Val::Map(map) => map.len() as u64,
            Val::Ip(IpAddr::V4(_)) => 4,
            Val::Ip(IpAddr::V6(_)) => 16,
            Val::Cidr(_, bits) => u64::from(*bits).div_ceil(8),
            Val::Optional(Some(held)) => held.size(),
            _ => 1,
        }
    }

    /// What is wrong with the names of the types of what an expression made: each object is to be
    /// of the type that is named for where it stands. Empty if nothing is.
    ///
    /// Upstream: `CheckTypeNamesMatchFieldPathNames` of
    /// `apiserver/pkg/cel/mutation/dynamic/objects.go`.
    pub fn misnamed(&self) -> Vec<String> {
        let mut wrongs = Vec::new();
        match self {
            Val::Made(made) => self.misnamed_at(&made.name, &mut wrongs),
            other => other.misnamed_at("", &mut wrongs),
        }
        wrongs
    }

    fn misnamed_at(&self, path: &str, wrongs: &mut Vec<String>) {
        match self {
            Val::Made(made) => {
                if made.name != path {
                    wrongs.push(format!(
                        "unexpected type name {:?}, expected {path:?}, which matches field name \
                         path from root Object type",
                        made.name
                    ));
                }
                for (name, value) in &made.fields {
                    value.misnamed_at(&format!("{path}.{name}"), wrongs);
                }
            }
            Val::List(list) => list
                .iter()
                .for_each(|entry| entry.misnamed_at(path, wrongs)),
            Val::Map(map) => map
                .values()
                .for_each(|value| value.misnamed_at(path, wrongs)),
            _ => {}
        }
    }

    /// Goes over all that is in it, so that whoever does so later need not fear its size: an
    /// expression can put a value into itself many times over.
    pub(super) fn walk(&self, budget: &mut Budget) -> Result<(), Failure> {
        const STEPS: usize = 8;
        budget.work(STEPS)?;
        match self {
            Val::List(list) => list.iter().try_for_each(|entry| entry.walk(budget)),
            Val::Map(map) => map.values().try_for_each(|value| value.walk(budget)),
            Val::Made(made) => made
                .fields
                .values()
                .try_for_each(|value| value.walk(budget)),
            Val::Optional(Some(held)) => held.walk(budget),
            Val::Text(text) => budget.work(text.len()),
            Val::Bytes(bytes) => budget.work(bytes.len()),
            _ => Ok(()),
        }
    }
}

/// Whether something holds of each, unless it cannot be said of one.
fn all<T>(
    mut each: impl Iterator<Item = T>,
    mut holds: impl FnMut(T) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    each.try_fold(true, |so_far, entry| Ok(so_far && holds(entry)?))
}

impl Key {
    /// The key that a value is, if it can be one.
    pub(super) fn of(value: &Val) -> Option<Key> {
        Some(match value {
            Val::Bool(value) => Key::Bool(*value),
            Val::Int(number) => Key::Int(*number),
            Val::Uint(number) => Key::Uint(*number),
            Val::Double(number) if number.fract() == 0.0 && number.abs() < 9e18 => {
                Key::Int(*number as i64)
            }
            Val::Text(text) => Key::Text(text.clone()),
            _ => return None,
        })
    }

    /// The value that a key stands for.
    pub fn value(&self) -> Val {
        match self {
            Key::Bool(value) => Val::Bool(*value),
            Key::Int(number) => Val::Int(*number),
            Key::Uint(number) => Val::Uint(*number),
            Key::Text(text) => Val::Text(text.clone()),
        }
    }

    fn whole(&self) -> Option<i128> {
        match self {
            Key::Int(number) => Some(i128::from(*number)),
            Key::Uint(number) => Some(i128::from(*number)),
            _ => None,
        }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Key {
        Key::Text(text.into())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Key {
        Key::Text(text.into())
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        match (self, other) {
            (Key::Text(a), Key::Text(b)) => a.cmp(b),
            (Key::Text(_), _) => Ordering::Greater,
            (_, Key::Text(_)) => Ordering::Less,
            (Key::Bool(a), Key::Bool(b)) => a.cmp(b),
            // Numbers are the same key if they are the same number; none is above every bool.
            (a, b) => a.whole().cmp(&b.whole()),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}
