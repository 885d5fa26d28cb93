//! Stories of quotas, as golden scripts: what is counted of the objects of a namespace.

use std::collections::BTreeMap;
use std::error::Error;

use controllers::resource_quota::plan::{Counted, Counts, status};
use goldenscript::{Command, Context, Runner};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use quota_usage::kind_of;
use serde_json::{Value, json};

type Outcome = Result<String, Box<dyn Error>>;

/// A quota, and what is in its namespace: objects by plural and name, or their number.
#[derive(Default)]
struct Story {
    quota: Value,
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    numbers: BTreeMap<String, usize>,
    seconds: i64,
}

impl Story {
    fn count(&mut self) -> Outcome {
        let quota: ResourceQuota = serde_json::from_value(self.quota.clone())?;
        let names = self.quota["spec"]["hard"].as_object();
        let names = names.into_iter().flatten().map(|(name, _)| name.as_str());
        let mut counts = Counts::new();
        for kind in names.filter_map(kind_of) {
            let counted = match kind.plural {
                "pods" | "services" | "persistentvolumeclaims" => {
                    let objects = self.objects.get(kind.plural).into_iter().flatten();
                    Some(Counted::Whole(objects.map(|(_, it)| it.clone()).collect()))
                }
                // What was never said is not served.
                plural => self.numbers.get(plural).copied().map(Counted::Number),
            };
            counts.extend(counted.map(|counted| (kind, counted)));
        }
        let now = Timestamp::from_second(self.seconds)?;
        let Some(status) = status(&quota, &counts, now) else {
            return Ok("as it was\n".into());
        };
        self.quota["status"] = serde_json::to_value(&status)?;
        Ok(told(&status))
    }
}

fn told(status: &ResourceQuotaStatus) -> String {
    let used = status.used.clone().unwrap_or_default();
    let hard = status.hard.iter().flatten();
    let lines = hard.map(|(name, hard)| {
        let used = used.get(name).map_or("?", |Quantity(text)| text);
        format!("{name}: {used} of {}\n", hard.0)
    });
    lines.collect()
}

/// `cpu=1,memory=2Gi` as a map.
fn map(text: &str) -> Value {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    let pairs = pairs.map(|(key, value)| (key.to_owned(), Value::from(value)));
    Value::Object(pairs.collect())
}

impl Runner for Story {
    type Command = Command;

    fn run(&mut self, command: &Command, _context: &Context) -> Outcome {
        let mut args = command.consume_args();
        let name = args.next_pos().unwrap_or_default().to_owned();
        let fields: BTreeMap<String, String> = std::iter::from_fn(|| args.next_key())
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let field = |key: &str| fields.get(key).map_or("", String::as_str);
        match command.name.as_str() {
            "quota" => {
                self.quota["spec"]["hard"] = map(&name);
                if fields.contains_key("scope") {
                    self.quota["spec"]["scopes"] = json!([field("scope")]);
                }
            }
            "used" => self.quota["status"]["used"] = map(&name),
            "pod" => {
                let pod = json!({
                    "metadata": {"deletionTimestamp": fields.get("deleted")},
                    "spec": {"containers": [{"name": "c", "resources": {
                        "requests": map(field("requests")), "limits": map(field("limits")),
                    }}]},
                    "status": {"phase": field("phase")},
                });
                self.objects
                    .entry("pods".into())
                    .or_default()
                    .insert(name, pod);
            }
            "service" => {
                let ports: usize = field("ports").parse()?;
                let spec = json!({"type": field("type"), "ports": vec![json!({}); ports]});
                let service = json!({"spec": spec});
                let services = self.objects.entry("services".into()).or_default();
                services.insert(name, service);
            }
            "claim" => {
                let claim = json!({"spec": {
                    "storageClassName": field("class"),
                    "resources": {"requests": {"storage": field("storage")}},
                }});
                let claims = self.objects.entry("persistentvolumeclaims".into());
                claims.or_default().insert(name, claim);
            }
            "number" => drop(self.numbers.insert(name, field("is").parse()?)),
            "delete" => self.objects.values_mut().for_each(|them| {
                them.remove(&name);
            }),
            "at" => self.seconds = name.parse()?,
            "count" => return self.count(),
            other => return Err(format!("no command {other}").into()),
        }
        Ok(String::new())
    }
}

fn play(script: &str) -> std::io::Result<()> {
    let path = format!("tests/quotas/{script}");
    goldenscript::run(&mut Story::default(), path)
}

#[test]
fn pods() -> std::io::Result<()> {
    play("pods")
}

#[test]
fn everything_else() -> std::io::Result<()> {
    play("everything_else")
}

#[test]
fn scopes() -> std::io::Result<()> {
    play("scopes")
}
