//! Server-side apply, as scripts: managers apply and update, and after each step the object stands
//! there, and who owns what of it. `tests/scripts/apply` has them.

use std::error::Error;
use std::sync::Arc;

use apiserver::apply::{Typed, apply, track_update};
use apiserver::patch::merge_patch;
use apiserver::resources::{Custom, Definition};
use serde_json::{Map, Value, json};

#[test]
fn scripts() -> std::io::Result<()> {
    golden::run_folder("tests/scripts/apply", Story::default)
}

#[derive(goldenscript::Command)]
enum Command {
    /// There is no object, and those to come are of a built-in type:
    /// `kind io.k8s.api.apps.v1.Deployment apps/v1`.
    Kind { name: String, version: String },
    /// The same, of a type that a client defines: its properties.
    Define {
        properties: String,
        #[arg(key, optional)]
        status: bool,
    },
    /// Another schema for the object that is there.
    Redefine { properties: String },
    /// A manager applies a configuration.
    Apply {
        manager: String,
        config: String,
        #[arg(key, optional)]
        force: bool,
        #[arg(key, optional)]
        part: Option<String>,
    },
    /// A manager puts an object in place of what is there.
    Update {
        manager: String,
        object: String,
        #[arg(key, optional)]
        part: Option<String>,
        /// Noted in another version than the type's.
        #[arg(key, optional)]
        version: Option<String>,
    },
    /// A manager sends a merge patch.
    Patch {
        manager: String,
        change: String,
        #[arg(key, optional)]
        part: Option<String>,
    },
    /// `managedFields` as they stand.
    Entries,
}

/// A type, and one object of it.
#[derive(Default)]
struct Story {
    kind: String,
    version: String,
    custom: Option<Arc<Custom>>,
    live: Option<Value>,
    minutes: u32,
}

impl goldenscript::Runner for Story {
    type Command = Command;

    fn run(
        &mut self,
        command: &Command,
        _context: &goldenscript::Context,
    ) -> Result<String, Box<dyn Error>> {
        self.minutes += 1;
        let now = format!("2026-01-01T00:{:02}:00Z", self.minutes);
        let (version, subresource) = (self.version.clone(), |part: &Option<String>| {
            part.clone().unwrap_or_default()
        });
        let new = match command {
            Command::Kind { name, version } => {
                *self = Story {
                    kind: name.clone(),
                    version: version.clone(),
                    ..Story::default()
                };
                return Ok(String::new());
            }
            Command::Define { properties, status } => {
                *self = Story {
                    version: "example.com/v1".into(),
                    custom: Some(define(properties, *status)?),
                    ..Story::default()
                };
                return Ok(String::new());
            }
            Command::Redefine { properties } => {
                self.custom = Some(define(properties, false)?);
                return Ok(String::new());
            }
            Command::Entries => {
                let live = self.live.as_ref().ok_or("there is no object")?;
                let entries = live["metadata"]["managedFields"].as_array();
                let entries = entries.into_iter().flatten().map(Value::to_string);
                return Ok(entries.collect::<Vec<_>>().join("\n"));
            }
            Command::Apply {
                manager,
                config,
                force,
                part,
            } => {
                let config = self.whole(serde_json::from_str(config)?);
                let (live, part) = (self.live.as_ref(), subresource(part));
                let applied = apply(
                    self.typed(),
                    live,
                    &config,
                    manager,
                    *force,
                    &part,
                    &version,
                    &now,
                );
                match applied {
                    Ok(new) => new,
                    Err(error) => return Ok(format!("{} {}", error.code, error.message)),
                }
            }
            Command::Update {
                manager,
                object,
                part,
                version: noted_in,
            } => {
                let mut new = self.whole(serde_json::from_str(object)?);
                let (live, part) = (self.live.as_ref(), subresource(part));
                let version = noted_in.as_ref().unwrap_or(&version);
                track_update(self.typed(), live, &mut new, manager, &part, version, &now);
                new
            }
            Command::Patch {
                manager,
                change,
                part,
            } => {
                let live = self.live.as_ref().ok_or("there is no object")?;
                let mut new = merge_patch(live, &serde_json::from_str(change)?);
                let part = subresource(part);
                track_update(
                    self.typed(),
                    Some(live),
                    &mut new,
                    manager,
                    &part,
                    &version,
                    &now,
                );
                new
            }
        };
        if self.live.as_ref() == Some(&new) {
            return Ok("nothing changes".into());
        }
        let shown = show(&new);
        self.live = Some(new);
        Ok(shown)
    }
}

impl Story {
    fn typed(&self) -> Typed<'_> {
        match &self.custom {
            Some(custom) => Typed::Custom(custom),
            None => Typed::Named(&self.kind),
        }
    }

    /// What a script says of an object, and what it need not say.
    fn whole(&self, mut object: Value) -> Value {
        let kind = self.kind.rsplit('.').next().unwrap_or_default();
        let kind = if self.custom.is_some() { "Thing" } else { kind };
        for (field, value) in [("apiVersion", self.version.as_str()), ("kind", kind)] {
            if object.get(field).is_none() {
                object[field] = value.into();
            }
        }
        if object["metadata"].is_null() {
            object["metadata"] = json!({});
        }
        object["metadata"]["name"] = "it".into();
        object
    }
}

fn define(properties: &str, has_status: bool) -> Result<Arc<Custom>, Box<dyn Error>> {
    let properties: Value = serde_json::from_str(properties)?;
    let subresources = if has_status {
        json!({"status": {}})
    } else {
        json!({})
    };
    let names = json!({"kind": "Thing", "listKind": "ThingList", "plural": "things",
        "singular": "thing"});
    let schema = json!({"type": "object", "properties": properties});
    let definition = json!({
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [
            {"name": "v1", "served": true, "storage": true, "subresources": subresources,
             "schema": {"openAPIV3Schema": schema}},
        ]},
        "status": {"acceptedNames": names,
            "conditions": [{"type": "Established", "status": "True"}]},
    });
    let version = Definition::versions_of(&definition).into_iter().next();
    version.ok_or_else(|| "no version".into())
}

/// An object without what identifies it, and the fields of each manager.
fn show(object: &Value) -> String {
    let mut own = object.clone();
    let fields = own.as_object_mut().expect("an object");
    fields.retain(|name, _| name != "apiVersion" && name != "kind");
    let metadata = fields.get_mut("metadata").and_then(Value::as_object_mut);
    let metadata = metadata.expect("has metadata");
    metadata.retain(|name, _| !matches!(name.as_str(), "name" | "managedFields"));
    if metadata.is_empty() {
        fields.remove("metadata");
    }
    let mut lines = vec![own.to_string()];
    let entries = object["metadata"]["managedFields"].as_array();
    for entry in entries.into_iter().flatten() {
        let words = ["manager", "operation", "subresource"];
        let words = words.iter().filter_map(|word| entry[word].as_str());
        let who = words.collect::<Vec<_>>().join(" ");
        let version = match entry["apiVersion"].as_str() {
            version if version == object["apiVersion"].as_str() => String::new(),
            version => format!(" in {}", version.unwrap_or("no version")),
        };
        let mut paths = Vec::new();
        list(&entry["fieldsV1"], "", &mut paths);
        lines.push(format!("{who}{version}: {}", paths.join(" ")));
    }
    lines.join("\n")
}

/// The paths in `FieldsV1`.
fn list(fields: &Value, at: &str, paths: &mut Vec<String>) {
    for (key, below) in fields.as_object().into_iter().flatten() {
        let Some((sort, rest)) = key.split_once(':') else {
            continue;
        };
        let path = match sort {
            "f" => format!("{at}.{rest}"),
            "v" => format!("{at}[={rest}]"),
            "k" => {
                let keys: Map<String, Value> = serde_json::from_str(rest).expect("keys");
                let keys: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
                format!("{at}[{}]", keys.join(","))
            }
            _ => format!("{at}[{rest}]"),
        };
        let members = below.as_object().expect("an object");
        if members.is_empty() || members.contains_key(".") {
            paths.push(path.clone());
        }
        list(below, &path, paths);
    }
}
