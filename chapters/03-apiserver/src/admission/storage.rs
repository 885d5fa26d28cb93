//! What is said of storage on its way in.
//!
//! | plugin | on | does |
//! | --- | --- | --- |
//! | StorageObjectInUseProtection | create volumes, claims | a finalizer keeps what is in use |
//! | DefaultStorageClass | create claims | a claim that names no class gets the default one |
//! | PersistentVolumeClaimResize | update claims | only a class that can grow its volumes lets them |
//!
//! Upstream: `plugin/pkg/admission/storage/`.

use serde_json::{Value, json};

use super::{Lookup, Operation, Request};
use crate::status::ApiError;
use crate::validation::quantity::Quantity;

const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Runs the three.
pub(super) fn admit(request: &mut Request, lookup: &dyn Lookup) -> Result<(), ApiError> {
    if request.is(Operation::Create, "", "persistentvolumes") {
        protect(request, "kubernetes.io/pv-protection");
    }
    if request.is(Operation::Create, "", "persistentvolumeclaims") {
        default_class(request, lookup);
        protect(request, "kubernetes.io/pvc-protection");
    }
    if request.is(Operation::Update, "", "persistentvolumeclaims") {
        resize(request, lookup)?;
    }
    Ok(())
}

fn protect(request: &mut Request, finalizer: &str) {
    let Some(object) = request.object.as_deref_mut() else {
        return;
    };
    let finalizers = &mut object["metadata"]["finalizers"];
    match finalizers.as_array_mut() {
        Some(finalizers) if finalizers.contains(&json!(finalizer)) => {}
        Some(finalizers) => finalizers.push(json!(finalizer)),
        None => *finalizers = json!([finalizer]),
    }
}

fn default_class(request: &mut Request, lookup: &dyn Lookup) {
    let Some(claim) = request.object.as_deref_mut() else {
        return;
    };
    // An empty name is a name: it asks for a volume without a class.
    let names_one = claim["spec"]["storageClassName"].is_string()
        || claim["metadata"]["annotations"][OLD_CLASS].is_string();
    if names_one {
        return;
    }
    let mut defaults = lookup.list("storageclasses", "");
    defaults.retain(|class| class["metadata"]["annotations"][DEFAULT_CLASS] == "true");
    let text = |class: &Value, field: &str| {
        let value = class["metadata"][field].as_str();
        value.unwrap_or_default().to_owned()
    };
    // Of several the newest counts, then the first by name.
    let newest = defaults.iter().max_by(|a, b| {
        let (made_a, made_b) = (text(a, "creationTimestamp"), text(b, "creationTimestamp"));
        made_a
            .cmp(&made_b)
            .then_with(|| text(b, "name").cmp(&text(a, "name")))
    });
    if let Some(class) = newest {
        claim["spec"]["storageClassName"] = class["metadata"]["name"].clone();
    }
}

fn resize(request: &Request, lookup: &dyn Lookup) -> Result<(), ApiError> {
    let (Some(new), Some(old)) = (request.object.as_deref(), request.old) else {
        return Ok(());
    };
    let size = |claim: &Value| {
        let requests = &claim["spec"]["resources"]["requests"];
        requests["storage"].as_str().and_then(Quantity::parse)
    };
    if size(new) <= size(old) || old["status"]["phase"] != "Bound" {
        return Ok(());
    }
    let class = old["spec"]["storageClassName"].as_str();
    let class = class.and_then(|name| lookup.get("storageclasses", "", name));
    if class.is_some_and(|class| class["allowVolumeExpansion"] == true) {
        return Ok(());
    }
    Err(request.forbidden(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the \
         pvc must support resize",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::tests::{World, create};
    use crate::{admission::Admission, authn::User, resources::by_kind};

    fn class(made: &str, is_default: &str, grows: bool) -> Value {
        json!({
            "metadata": {"name": "", "creationTimestamp": made,
                "annotations": {DEFAULT_CLASS: is_default}},
            "allowVolumeExpansion": grows,
        })
    }

    #[test]
    fn a_claim_without_a_class_gets_the_newest_default_one() {
        let named = |mut class: Value, name: &str| {
            class["metadata"]["name"] = json!(name);
            class
        };
        let world = World::new()
            .with("storageclasses", "a", named(class("1", "true", false), "a"))
            .with("storageclasses", "b", named(class("2", "true", false), "b"))
            .with(
                "storageclasses",
                "c",
                named(class("3", "false", false), "c"),
            );
        let mut claim = json!({"spec": {}});
        create(&world, "PersistentVolumeClaim", &mut claim).expect("admitted");
        assert_eq!(
            claim,
            json!({"metadata": {"finalizers": ["kubernetes.io/pvc-protection"]},
                "spec": {"storageClassName": "b"}})
        );
        let mut claim = json!({"spec": {"storageClassName": ""}});
        create(&world, "PersistentVolumeClaim", &mut claim).expect("admitted");
        assert_eq!(claim["spec"]["storageClassName"], "");
        let mut volume = json!({"metadata": {"finalizers": ["kubernetes.io/pv-protection"]}});
        create(&world, "PersistentVolume", &mut volume).expect("admitted");
        assert_eq!(
            volume["metadata"]["finalizers"],
            json!(["kubernetes.io/pv-protection"])
        );
    }

    #[test]
    fn a_bound_claim_grows_if_its_class_says_so() {
        let world = World::new()
            .with("storageclasses", "fixed", class("1", "false", false))
            .with("storageclasses", "grows", class("1", "false", true));
        let check = |class: &str, size: &str| {
            let claim = |size: &str| {
                json!({"metadata": {"name": "c"}, "status": {"phase": "Bound"},
                    "spec": {"storageClassName": class,
                        "resources": {"requests": {"storage": size}}}})
            };
            let mut new = claim(size);
            let mut request = Request {
                user: &User::default(),
                operation: Operation::Update,
                resource: by_kind("", "v1", "PersistentVolumeClaim").expect("served"),
                subresource: "",
                namespace: "ns",
                name: "c",
                object: Some(&mut new),
                old: Some(&claim("1Gi")),
                dry_run: false,
            };
            Admission::default()
                .admit(&mut request, &world)
                .map_err(|error| error.message)
        };
        assert_eq!(check("grows", "2Gi"), Ok(()));
        assert_eq!(check("fixed", "1024Mi"), Ok(()));
        assert_eq!(
            check("fixed", "2Gi"),
            Err(
                "persistentvolumeclaims \"c\" is forbidden: only dynamically provisioned pvc can \
                 be resized and the storageclass that provisions the pvc must support resize"
                    .to_owned()
            )
        );
    }
}
