//! Where each field of a type stands in protobuf, by its name in JSON.

use std::sync::{LazyLock, OnceLock};

use super::{JSON_SCHEMA, Name, TYPES, UNIONS, row_name};
use crate::schema::{self, Shape, Type, TypeRef};

/// Structs that are inlined in inlined structs: `NamedRuleWithOperations`, and no deeper.
const INLINED_MAX: usize = 2;

/// The numbers that lead to a field: those of the structs that it is inlined in, and its own. Zeros
/// follow, so that fields are in the order of their paths.
pub(super) type Path = [u32; INLINED_MAX + 1];

/// The fields of a type, in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) places: Vec<Place>,
}

/// Where a field stands, and how.
#[derive(Debug)]
pub(super) struct Place {
    /// In JSON.
    pub(super) name: &'static str,
    pub(super) path: Path,
    pub(super) form: Form,
    /// What it holds.
    pub(super) shape: &'static Shape,
}

/// How a field is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// As what it holds.
    Plain,
    /// A list that is the one field of a struct.
    Wrapped,
    /// A JSON schema, or else a boolean; the schema's number.
    Union(u32),
}

impl Place {
    /// Its own number.
    pub(super) fn number(&self) -> u32 {
        let numbers = self.path.iter().rev();
        let own = numbers.copied().find(|number| *number != 0);
        own.expect("a path has a number")
    }
}

/// The layout of a type; made when it is first written. A type without numbers has no fields.
pub(super) fn of(r#type: TypeRef) -> &'static Layout {
    static LAYOUTS: LazyLock<Box<[OnceLock<Layout>]>> = LazyLock::new(|| {
        let none = (0..schema::types_count()).map(|_| OnceLock::new());
        none.collect()
    });
    LAYOUTS[r#type.index()].get_or_init(|| {
        let mut layout = Layout::default();
        let r#type = r#type.get();
        layout.add(row_name(&r#type.name), r#type, Path::default(), 0);
        layout.places.sort_unstable_by_key(|place| place.name);
        layout
    })
}

impl Layout {
    /// Adds the fields of a row, which stands at `path`, `depth` structs deep in `r#type`.
    fn add(&mut self, row: &str, r#type: &'static Type, path: Path, depth: usize) {
        for (number, name) in TYPES.get(row).into_iter().flatten() {
            let mut path = path;
            path[depth] = *number;
            let (name, form) = match *name {
                Name::Inline(inlined) => {
                    self.add(inlined, r#type, path, depth + 1);
                    continue;
                }
                // `items` alone may be a list, and has the schema first.
                Name::Json(name @ "items") if row == JSON_SCHEMA => (name, Form::Union(1)),
                Name::Json(name) if row == JSON_SCHEMA && UNIONS.contains(&name) => {
                    (name, Form::Union(2))
                }
                Name::Json(name) => (name, Form::Plain),
                Name::Wrapped(name) => (name, Form::Wrapped),
            };
            if let Some(field) = r#type.field(name) {
                let shape = &field.shape;
                let place = Place {
                    name,
                    path,
                    form,
                    shape,
                };
                self.places.push(place);
            }
        }
    }
}
