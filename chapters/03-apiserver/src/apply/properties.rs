//! What holds of every apply.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::path::{Element, Set};
use super::*;

const POD: &str = "io.k8s.api.core.v1.Pod";

fn applied(live: Option<&Value>, config: &Value, manager: &str, force: bool) -> Value {
    let now = "2026-01-01T00:00:00Z";
    apply(POD, live, config, manager, force, "", "v1", now).expect("has no conflict")
}

/// What somebody wants of a pod: fields of maps, sets, keyed lists, and structs in them. Names
/// and keys are of a prefix. No map is empty: that is not stored, and so each who wants it empty
/// adds it, which is a conflict with who did before (as it is upstream).
fn any_config(prefix: &'static str) -> impl Strategy<Value = Value> {
    let names = move |least: usize, most: usize| {
        let names: Vec<String> = (0..3).map(|i| format!("{prefix}{i}")).collect();
        prop::sample::subsequence(names, least..=most).prop_shuffle()
    };
    let map = move || {
        let map = prop::collection::btree_map(0..3, "[12]", 1..3);
        map.prop_map(move |map| {
            let keys = map.into_iter().map(|(k, v)| (format!("{prefix}{k}"), v));
            json!(keys.collect::<BTreeMap<_, _>>())
        })
    };
    let env = (names(0, 2), "[12]").prop_map(|(names, value)| {
        let env = names
            .iter()
            .map(|name| json!({"name": name, "value": value}));
        env.collect::<Value>()
    });
    let container = (prop::option::of("[ij]"), prop::option::of(env));
    let containers = (names(1, 3), prop::collection::vec(container, 3));
    let parts = (map(), map(), names(0, 3), containers);
    parts.prop_map(|(labels, annotations, finalizers, (names, containers))| {
        let containers = names.iter().zip(containers).map(|(name, (image, env))| {
            let mut container = json!({"name": name});
            if let Some(image) = image {
                container["image"] = image.into();
            }
            if let Some(env) = env {
                container["env"] = env;
            }
            container
        });
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "labels": labels, "annotations": annotations,
                "finalizers": finalizers},
            "spec": {"containers": containers.collect::<Value>()}})
    })
}

/// The order of lists is the last applier's, and does not count here.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(k, v)| (k.clone(), sorted(v)));
            Value::Object(fields.collect())
        }
        Value::Array(list) => {
            let mut list: Vec<Value> = list.iter().map(sorted).collect();
            list.sort_by_key(Value::to_string);
            Value::Array(list)
        }
        value => value.clone(),
    }
}

fn any_element() -> impl Strategy<Value = Element> {
    let text = || any::<String>().prop_map(Value::from);
    let scalar = prop_oneof![
        text(),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from)
    ];
    let keys = prop::collection::btree_map("[a-c]", text(), 1..3);
    prop_oneof![
        any::<String>().prop_map(|name| Element::field(&name)),
        scalar.prop_map(|value| Element::Value(value.to_string())),
        keys.prop_map(|keys| Element::keys(keys.iter().map(|(k, v)| (k.as_str(), v)).collect())),
        (0..100usize).prop_map(Element::Index),
    ]
}

proptest! {
    #[test]
    fn a_set_is_read_as_it_was_written(
        paths in prop::collection::vec(prop::collection::vec(any_element(), 1..4), 0..8)
    ) {
        let mut set = Set::default();
        paths.iter().for_each(|path| set.insert(path));
        let text = set.encode().to_string();
        let read: Value = serde_json::from_str(&text).expect("is JSON");
        prop_assert_eq!(Set::decode(&read), Some(set));
    }

    #[test]
    fn to_apply_twice_is_to_apply_once(
        steps in prop::collection::vec((any_config("n"), "[xyz]"), 1..5)
    ) {
        let mut live = None;
        for (config, manager) in steps {
            let once = applied(live.as_ref(), &config, &manager, true);
            let twice = applied(Some(&once), &config, &manager, false);
            prop_assert_eq!(&twice, &once);
            live = Some(once);
        }
    }

    #[test]
    fn who_forces_has_it_as_wanted(
        before in prop::collection::vec((any_config("n"), "[xyz]"), 1..4),
        config in any_config("n"),
    ) {
        let live = before.iter().fold(None, |live: Option<Value>, (config, manager)| {
            Some(applied(live.as_ref(), config, manager, true))
        });
        let forced = applied(live.as_ref(), &config, "me", true);
        // Nobody wants otherwise what is wanted so: another may apply the same, unforced.
        let shared = applied(Some(&forced), &config, "friend", false);
        let of = |object: &Value, name: &str| {
            let managed = managed::decode(&object["metadata"]["managedFields"]).expect("reads");
            managed.get(&Manager::applier(name, "")).map(|owned| owned.set.clone())
        };
        prop_assert_eq!(of(&shared, "me"), of(&shared, "friend"));
        let mut bare = managed::without(&forced);
        prop_assert_eq!(&managed::without(&shared), &bare);
        // And it is there: to merge it changes nothing but what is not said.
        let shape = Typed::Named(POD).shape().expect("is a type");
        bare = merge::merge(&shape, &bare, &config);
        let bare = Typed::Named(POD).check(bare).expect("fits");
        prop_assert_eq!(&managed::without(&forced), &bare);
    }

    #[test]
    fn who_wants_other_fields_may_come_first_or_last(
        mine in any_config("m"), yours in any_config("y")
    ) {
        let both = |first: (&Value, &str), second: (&Value, &str)| {
            let live = applied(None, first.0, first.1, false);
            sorted(&applied(Some(&live), second.0, second.1, false))
        };
        let (me, you) = ((&mine, "me"), (&yours, "you"));
        prop_assert_eq!(both(me, you), both(you, me));
    }
}
