//! Compact types, built once from the JSON Schema of the generated Rust types.

use std::collections::HashMap;
use std::sync::LazyLock;

use k8s_openapi::api::{
    admissionregistration, apps, authentication, authorization, autoscaling, batch, certificates,
    coordination, core, discovery, events, flowcontrol, networking, node, policy, rbac, resource,
    scheduling, storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

use super::{Field, ListType, Shape, Type, TypeRef, facts};

/// Every type that is reachable from what is served.
pub(super) struct Types {
    types: Vec<Type>,
    by_name: HashMap<Box<str>, TypeRef>,
}

impl Types {
    pub(super) fn get(&self, TypeRef(index): TypeRef) -> &Type {
        &self.types[usize::from(index)]
    }

    pub(super) fn count(&self) -> usize {
        self.types.len()
    }

    pub(super) fn named(&self, name: &str) -> Option<TypeRef> {
        self.by_name.get(name).copied()
    }
}

pub(super) fn all() -> &'static Types {
    static TYPES: LazyLock<Types> = LazyLock::new(|| build(definitions(|_| true)));
    &TYPES
}

/// JSON Schemas, with descriptions, of the served kinds that are wanted by name, and of all that
/// they refer to. About 1.5 MB for all: for building from, not for keeping.
pub(crate) fn definitions(wanted: impl Fn(&str) -> bool) -> Map<String, Value> {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut roots = Roots {
        generator: &mut generator,
        wanted: &wanted,
    };
    roots
        .add::<core::v1::Binding>()
        .add::<core::v1::ConfigMap>()
        .add::<core::v1::Endpoints>()
        .add::<core::v1::Event>()
        .add::<core::v1::LimitRange>()
        .add::<core::v1::Namespace>()
        .add::<core::v1::Node>()
        .add::<core::v1::PersistentVolume>()
        .add::<core::v1::PersistentVolumeClaim>()
        .add::<core::v1::Pod>()
        .add::<core::v1::PodTemplate>()
        .add::<core::v1::ReplicationController>()
        .add::<core::v1::ResourceQuota>()
        .add::<core::v1::Secret>()
        .add::<core::v1::Service>()
        .add::<core::v1::ServiceAccount>()
        .add::<apps::v1::ControllerRevision>()
        .add::<apps::v1::DaemonSet>()
        .add::<admissionregistration::v1::MutatingAdmissionPolicy>()
        .add::<admissionregistration::v1::MutatingAdmissionPolicyBinding>()
        .add::<admissionregistration::v1::MutatingWebhookConfiguration>()
        .add::<admissionregistration::v1::ValidatingAdmissionPolicy>()
        .add::<admissionregistration::v1::ValidatingAdmissionPolicyBinding>()
        .add::<admissionregistration::v1::ValidatingWebhookConfiguration>()
        .add::<apiregistration::v1::APIService>()
        .add::<apps::v1::Deployment>()
        .add::<apps::v1::ReplicaSet>()
        .add::<apps::v1::StatefulSet>()
        .add::<authentication::v1::SelfSubjectReview>()
        .add::<authentication::v1::TokenRequest>()
        .add::<authentication::v1::TokenReview>()
        .add::<authorization::v1::LocalSubjectAccessReview>()
        .add::<authorization::v1::SelfSubjectAccessReview>()
        .add::<authorization::v1::SelfSubjectRulesReview>()
        .add::<authorization::v1::SubjectAccessReview>()
        .add::<autoscaling::v1::HorizontalPodAutoscaler>()
        .add::<autoscaling::v1::Scale>()
        .add::<autoscaling::v2::HorizontalPodAutoscaler>()
        .add::<batch::v1::CronJob>()
        .add::<batch::v1::Job>()
        .add::<certificates::v1::CertificateSigningRequest>()
        .add::<coordination::v1::Lease>()
        .add::<discovery::v1::EndpointSlice>()
        .add::<events::v1::Event>()
        .add::<flowcontrol::v1::FlowSchema>()
        .add::<flowcontrol::v1::PriorityLevelConfiguration>()
        .add::<networking::v1::IPAddress>()
        .add::<networking::v1::Ingress>()
        .add::<networking::v1::IngressClass>()
        .add::<networking::v1::NetworkPolicy>()
        .add::<networking::v1::ServiceCIDR>()
        .add::<node::v1::RuntimeClass>()
        .add::<policy::v1::Eviction>()
        .add::<policy::v1::PodDisruptionBudget>()
        .add::<rbac::v1::ClusterRole>()
        .add::<rbac::v1::ClusterRoleBinding>()
        .add::<rbac::v1::Role>()
        .add::<rbac::v1::RoleBinding>()
        .add::<resource::v1::DeviceClass>()
        .add::<resource::v1::ResourceClaim>()
        .add::<resource::v1::ResourceClaimTemplate>()
        .add::<resource::v1::ResourceSlice>()
        .add::<scheduling::v1::PriorityClass>()
        .add::<storage::v1::CSIDriver>()
        .add::<storage::v1::CSINode>()
        .add::<storage::v1::CSIStorageCapacity>()
        .add::<storage::v1::StorageClass>()
        .add::<storage::v1::VolumeAttachment>()
        .add::<storage::v1::VolumeAttributesClass>()
        .add::<CustomResourceDefinition>()
        .add::<meta::v1::APIGroup>()
        .add::<meta::v1::APIGroupList>()
        .add::<meta::v1::APIResourceList>()
        .add::<meta::v1::APIVersions>()
        .add::<meta::v1::DeleteOptions>()
        .add::<meta::v1::ListMeta>()
        .add::<meta::v1::ObjectMeta>()
        .add::<meta::v1::Status>();
    generator.take_definitions(true)
}

struct Roots<'a> {
    generator: &'a mut SchemaGenerator,
    wanted: &'a dyn Fn(&str) -> bool,
}

impl Roots<'_> {
    fn add<T: JsonSchema>(&mut self) -> &mut Self {
        if (self.wanted)(&T::schema_name()) {
            self.generator.subschema_for::<T>();
        }
        self
    }
}

fn build(definitions: Map<String, Value>) -> Types {
    let structs: Vec<(&String, &Value)> = definitions
        .iter()
        .filter(|(_, schema)| schema.get("properties").is_some())
        .collect();
    let by_name: HashMap<Box<str>, TypeRef> = structs
        .iter()
        .enumerate()
        .map(|(i, (name, _))| {
            let index = u16::try_from(i).expect("the API has a few hundred types");
            (name.as_str().into(), TypeRef(index))
        })
        .collect();
    let types = structs
        .iter()
        .map(|(name, schema)| build_type(name, schema, &by_name))
        .collect();
    Types { types, by_name }
}

fn build_type(name: &str, schema: &Value, by_name: &HashMap<Box<str>, TypeRef>) -> Type {
    let short = name.strip_prefix("io.k8s.").unwrap_or(name);
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let pointers = facts::zero_matters(short);
    let embedded = facts::value_structs(short);
    let is_kind = schema["properties"].get("kind").is_some();
    let mut fields: Vec<Field> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(field, property)| {
            let mut shape = shape_of(property, by_name);
            add_facts(&mut shape, short, field);
            Field {
                name: field.as_str().into(),
                shape,
                required: required.contains(&field.as_str()),
                zero_matters: pointers.contains(&field.as_str()),
                embedded: embedded.contains(&field.as_str())
                    || is_kind && matches!(field.as_str(), "metadata" | "spec" | "status"),
                retain_keys: facts::RETAIN_KEYS.contains(&(short, field)),
                patch_replaces: facts::PATCH_REPLACES.contains(&(short, field)),
            }
        })
        .collect();
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    Type {
        name: name.into(),
        fields,
        atomic: facts::is_atomic_struct(short),
        key_defaults: Vec::new(),
        is_open: false,
    }
}

fn shape_of(schema: &Value, by_name: &HashMap<Box<str>, TypeRef>) -> Shape {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return match by_name.get(name) {
            Some(r) => Shape::Struct(*r),
            None => match name.rsplit('.').next() {
                Some("Quantity") => Shape::Quantity,
                Some("IntOrString") => Shape::IntOrString,
                Some("Time") => Shape::Time,
                Some("MicroTime") => Shape::MicroTime,
                _ => Shape::Any,
            },
        };
    }
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("boolean"), _) => Shape::Boolean,
        (Some("integer"), Some("int32")) => Shape::Integer32,
        (Some("integer"), _) => Shape::Integer64,
        (Some("number"), _) => Shape::Number,
        (Some("string"), Some("byte")) => Shape::Bytes,
        (Some("string"), _) => Shape::String,
        (Some("array"), _) => Shape::List {
            item: Box::new(shape_of(&schema["items"], by_name)),
            kind: ListType::Atomic,
            patch_key: None,
        },
        (Some("object"), _) if schema.get("additionalProperties").is_some() => Shape::Map {
            value: Box::new(shape_of(&schema["additionalProperties"], by_name)),
            atomic: false,
        },
        _ => Shape::Any,
    }
}

/// Adds to the shape of a field what its schema does not say.
fn add_facts(shape: &mut Shape, owner: &str, field: &str) {
    match shape {
        Shape::List {
            kind, patch_key, ..
        } => {
            if let Some(fact) = facts::list(owner, field) {
                *kind = match fact.keys {
                    _ if fact.atomic => ListType::Atomic,
                    [] => ListType::Set,
                    keys => ListType::Map(keys),
                };
                *patch_key = fact.patch_key;
            }
        }
        Shape::Map { atomic, .. } => *atomic = facts::is_atomic_map(owner, field),
        _ => {}
    }
}
