//! A schema as server-side apply walks over it.
//!
//! Upstream: `apimachinery/pkg/util/managedfields/typeconverter.go`, which makes the same of the
//! published OpenAPI.

use std::sync::Arc;

use super::structural::{Additional, ListKind, Schema};
use crate::schema::{Field, ListType, Shape, Type, type_named};

/// The shape of whole objects of a version: what every object has, and what its schema says.
pub fn shape_of(root: &Schema) -> Shape {
    let mut owner = struct_of(root);
    owner
        .fields
        .retain(|field| !matches!(&*field.name, "apiVersion" | "kind" | "metadata"));
    let meta = type_named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    let own = [
        ("apiVersion", Shape::String),
        ("kind", Shape::String),
        ("metadata", meta.map_or(Shape::Deduced, Shape::Struct)),
    ];
    owner
        .fields
        .extend(own.map(|(name, shape)| field(name, shape)));
    owner.fields.sort_by(|a, b| a.name.cmp(&b.name));
    owner.atomic = false;
    Shape::Own(Arc::new(owner))
}

fn field(name: &str, shape: Shape) -> Field {
    Field {
        name: name.into(),
        shape,
        required: false,
        zero_matters: true,
        embedded: false,
        retain_keys: false,
        patch_replaces: false,
    }
}

fn shape(schema: &Schema) -> Shape {
    if schema.int_or_string {
        return Shape::IntOrString;
    }
    match schema.kind.as_str() {
        "boolean" => Shape::Boolean,
        "integer" => Shape::Integer64,
        "number" => Shape::Number,
        "string" => Shape::String,
        "array" => list(schema),
        "object" if schema.embedded => embedded(schema),
        "object" if schema.properties.is_empty() && !schema.preserve => map(schema),
        "object" => Shape::Own(Arc::new(struct_of(schema))),
        _ => Shape::Deduced,
    }
}

fn embedded(schema: &Schema) -> Shape {
    match shape_of(schema) {
        Shape::Own(owner) if schema.atomic => Shape::Own(Arc::new(Type {
            atomic: true,
            ..Type::clone(&owner)
        })),
        shape => shape,
    }
}

fn struct_of(schema: &Schema) -> Type {
    let default =
        |(name, schema): (&String, &Schema)| Some((name.as_str().into(), schema.default.clone()?));
    let fields = schema.properties.iter();
    Type {
        name: "".into(),
        fields: fields
            .map(|(name, schema)| field(name, shape(schema)))
            .collect(),
        atomic: schema.atomic,
        key_defaults: schema.properties.iter().filter_map(default).collect(),
        is_open: schema.preserve,
    }
}

fn map(schema: &Schema) -> Shape {
    let value = match &schema.additional {
        Some(Additional::Schema(inner)) => shape(inner),
        Some(Additional::Any(_)) => Shape::Deduced,
        // An object of no fields.
        None => return Shape::Own(Arc::new(struct_of(schema))),
    };
    Shape::Map {
        value: Box::new(value),
        atomic: schema.atomic,
    }
}

fn list(schema: &Schema) -> Shape {
    let kind = match &schema.list {
        ListKind::Atomic => ListType::Atomic,
        ListKind::Set => ListType::Set,
        ListKind::Map(keys) => {
            ListType::OwnMap(keys.iter().map(|key| key.as_str().into()).collect())
        }
    };
    Shape::List {
        item: Box::new(schema.items.as_deref().map_or(Shape::Deduced, shape)),
        kind,
        patch_key: None,
    }
}
