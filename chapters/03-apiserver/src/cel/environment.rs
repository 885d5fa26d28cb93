//! What an expression may name: its variables, and what they are.
//!
//! | environment | variables |
//! | --- | --- |
//! | a rule of a schema | `self`, `oldSelf` |
//! | a policy, a webhook's condition | `object`, `oldObject`, `request`, `namespaceObject`, `params`, `authorizer`, `variables` |
//! | a selector of devices | `device` |
//!
//! Upstream: `apiserver/pkg/cel/common/schemas.go`, `apiserver/pkg/admission/plugin/cel/compile.go`,
//! `dynamic-resource-allocation/cel/compile.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::types::{BOOL, INT, Object, STRING, Type};
use crate::custom::{Additional, Schema};

/// What an expression may name.
#[derive(Debug, Clone)]
pub struct Environment {
    variables: Vec<(&'static str, Type)>,
    for_what: Purpose,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Purpose {
    Rule,
    Admission,
    /// It makes objects and patches.
    Mutation,
    Device,
}

impl Environment {
    /// That of rules about values of a schema.
    pub fn rule(schema: &Schema, optional_old_self: bool) -> Environment {
        let own = type_of(schema, schema.embedded).unwrap_or(Type::Dyn);
        let old = match optional_old_self {
            true => Type::optional(own.clone()),
            false => own.clone(),
        };
        Environment {
            variables: vec![("self", own), ("oldSelf", old)],
            for_what: Purpose::Rule,
        }
    }

    /// That of policies and of conditions of webhooks.
    pub fn admission(has_params: bool) -> Environment {
        let mut variables = vec![
            ("object", Type::Dyn),
            ("oldObject", Type::Dyn),
            ("namespaceObject", namespace()),
            ("request", request()),
            ("authorizer", Type::parse("Authorizer")),
            ("authorizer.requestResource", Type::parse("ResourceCheck")),
        ];
        if has_params {
            variables.push(("params", Type::Dyn));
        }
        Environment {
            variables,
            for_what: Purpose::Admission,
        }
    }

    /// That of selectors of devices.
    pub fn device() -> Environment {
        let inner = |of: Type| Type::map(STRING, Type::map(STRING, of));
        let device = Type::object(
            "kubernetes.DRADevice",
            [
                ("driver", STRING),
                ("allowMultipleAllocations", BOOL),
                ("attributes", inner(Type::Dyn)),
                ("capacity", inner(Type::parse("Quantity"))),
            ],
        );
        Environment {
            variables: vec![("device", device)],
            for_what: Purpose::Device,
        }
    }

    /// The same, for expressions that make objects and patches.
    pub fn making_patches(mut self) -> Environment {
        self.for_what = Purpose::Mutation;
        self
    }

    /// The same, without a variable.
    pub fn without(mut self, name: &str) -> Environment {
        let below = format!("{name}.");
        self.variables
            .retain(|(known, _)| *known != name && !known.starts_with(&below));
        self
    }

    /// The same, with `variables.…`.
    pub fn with_variables(mut self, variables: &BTreeMap<String, Type>) -> Environment {
        let object = Object {
            name: "kubernetes.variables".to_owned(),
            fields: Some(variables.clone()),
        };
        self.variables.retain(|(known, _)| *known != "variables");
        self.variables
            .push(("variables", Type::Object(Arc::new(object))));
        self
    }

    pub(super) fn variable(&self, name: &str) -> Option<Type> {
        let found = self.variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, of)| of.clone())
    }

    pub(super) fn patches(&self) -> bool {
        self.for_what == Purpose::Mutation
    }

    /// Whether there is `cel.bind`.
    pub(super) fn binds(&self) -> bool {
        self.for_what == Purpose::Device
    }
}

/// What values of a schema are; none where rules must not look, as the schema says too little.
fn type_of(schema: &Schema, is_root: bool) -> Option<Type> {
    if schema.int_or_string {
        return Some(Type::Dyn);
    }
    Some(match schema.kind.as_str() {
        "boolean" => BOOL,
        "integer" => INT,
        "number" => Type::Simple("double"),
        "string" => match schema.format() {
            "byte" => Type::Simple("bytes"),
            "duration" => Type::Simple("duration"),
            "date" | "date-time" => Type::Simple("timestamp"),
            _ => STRING,
        },
        "array" => {
            let items = schema.items.as_deref()?;
            Type::list(type_of(items, items.embedded)?)
        }
        "object" => match &schema.additional {
            Some(Additional::Schema(inner)) => Type::map(STRING, type_of(inner, inner.embedded)?),
            _ => {
                let fields = schema.properties.iter();
                let fields = fields.filter_map(|(name, inner)| {
                    Some((name.clone(), type_of(inner, inner.embedded)?))
                });
                let mut fields: BTreeMap<String, Type> = fields.collect();
                if is_root {
                    let metadata = [("name", STRING), ("generateName", STRING)];
                    fields.insert("apiVersion".into(), STRING);
                    fields.insert("kind".into(), STRING);
                    fields.insert("metadata".into(), Type::object("object", metadata));
                }
                Type::Object(Arc::new(Object {
                    name: "object".to_owned(),
                    fields: Some(fields),
                }))
            }
        },
        _ => return None,
    })
}

/// What is asked of the server.
fn request() -> Type {
    let texts = || Type::list(STRING);
    let named = |kind: &str, last: &'static str| {
        let fields = [("group", STRING), ("version", STRING), (last, STRING)];
        Type::object(kind, fields)
    };
    let kind = named("kubernetes.GroupVersionKind", "kind");
    let resource = named("kubernetes.GroupVersionResource", "resource");
    let user = [
        ("username", STRING),
        ("uid", STRING),
        ("groups", texts()),
        ("extra", Type::map(STRING, texts())),
    ];
    let fields = [
        ("kind", kind.clone()),
        ("resource", resource.clone()),
        ("subResource", STRING),
        ("requestKind", kind),
        ("requestResource", resource),
        ("requestSubResource", STRING),
        ("name", STRING),
        ("namespace", STRING),
        ("operation", STRING),
        ("userInfo", Type::object("kubernetes.UserInfo", user)),
        ("dryRun", BOOL),
        ("options", Type::Dyn),
    ];
    Type::object("kubernetes.AdmissionRequest", fields)
}

/// The namespace of what it is about.
fn namespace() -> Type {
    let (texts, time) = (|| Type::list(STRING), || Type::Simple("timestamp"));
    let labels = || Type::map(STRING, STRING);
    let metadata = [
        ("name", STRING),
        ("generateName", STRING),
        ("namespace", STRING),
        ("labels", labels()),
        ("annotations", labels()),
        ("UID", STRING),
        ("creationTimestamp", time()),
        ("deletionGracePeriodSeconds", INT),
        ("deletionTimestamp", time()),
        ("generation", INT),
        ("resourceVersion", STRING),
        ("finalizers", texts()),
    ];
    let condition = [
        ("status", STRING),
        ("type", STRING),
        ("lastTransitionTime", time()),
        ("message", STRING),
        ("reason", STRING),
    ];
    let conditions = Type::list(Type::object("kubernetes.NamespaceCondition", condition));
    let status = [("conditions", conditions), ("phase", STRING)];
    let spec = [("finalizers", texts())];
    let fields = [
        (
            "metadata",
            Type::object("kubernetes.NamespaceMetadata", metadata),
        ),
        ("spec", Type::object("kubernetes.NamespaceSpec", spec)),
        ("status", Type::object("kubernetes.NamespaceStatus", status)),
    ];
    Type::object("kubernetes.Namespace", fields)
}
