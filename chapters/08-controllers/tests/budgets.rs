//! Stories of disruption budgets, as golden scripts: what is allowed of their pods.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use controllers::disruption::plan;
use goldenscript::{Command, Context, Runner};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

type Outcome = Result<String, Box<dyn Error>>;

/// A budget, its pods, and how many of them their owners want.
#[derive(Default)]
struct Story {
    budget: PodDisruptionBudget,
    pods: BTreeMap<String, Pod>,
    scale: i32,
    seconds: i64,
}

impl Story {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.seconds).expect("the stories are short")
    }

    fn status(&mut self) -> Outcome {
        let pods: Vec<Arc<Pod>> = self.pods.values().cloned().map(Arc::new).collect();
        let scale = match plan::needs_scale(&self.budget) {
            true => self.scale,
            false => 0,
        };
        let number = plan::number(&self.budget, pods.len(), scale)?;
        let (status, again) = plan::status(&self.budget, &pods, number, self.now());
        if plan::is_same(&self.budget, &status) {
            return Ok("as it was\n".into());
        }
        let again = again.map_or(String::new(), |at| format!("again at {}\n", at.as_second()));
        let told = told(&status) + &again;
        self.budget.status = Some(status);
        Ok(told)
    }
}

fn told(status: &PodDisruptionBudgetStatus) -> String {
    let number = |it: Option<i32>| it.unwrap_or_default();
    let condition = &status.conditions.as_deref().unwrap_or_default()[0];
    format!(
        "{} of {} healthy, {} needed: {} may go ({})\n",
        number(status.current_healthy),
        number(status.expected_pods),
        number(status.desired_healthy),
        number(status.disruptions_allowed),
        condition.reason,
    )
}

impl Runner for Story {
    type Command = Command;

    fn run(&mut self, command: &Command, _context: &Context) -> Outcome {
        let mut args = command.consume_args();
        let first = args.next_pos().map(str::to_owned);
        let first = first.unwrap_or_default();
        match command.name.as_str() {
            "budget" => {
                self.budget.spec = Some(serde_json::from_str(&first)?);
                let generation = self.budget.metadata.generation.get_or_insert(0);
                *generation += 1;
            }
            "scale" => self.scale = first.parse()?,
            "pod" => {
                let ready = args.next_pos().map(str::to_owned);
                let pod = json!({"metadata": {"name": first}, "status": {"conditions": [
                    {"type": "Ready", "status": if ready.is_some() { "True" } else { "False" }},
                ]}});
                self.pods.insert(first, serde_json::from_value(pod)?);
            }
            "evict" => {
                let now = Time(self.now());
                let status = self.budget.status.get_or_insert_default();
                let allowed = status.disruptions_allowed.get_or_insert(0);
                if *allowed == 0 {
                    return Ok("no\n".into());
                }
                *allowed -= 1;
                let disrupted = status.disrupted_pods.get_or_insert_default();
                disrupted.insert(first, now);
            }
            "end" => {
                let now = Time(self.now());
                let pod = self.pods.get_mut(&first).ok_or("no such pod")?;
                pod.metadata.deletion_timestamp = Some(now);
            }
            "gone" => drop(self.pods.remove(&first)),
            "after" => self.seconds += first.parse::<i64>()?,
            "status" => return self.status(),
            other => return Err(format!("no command {other}").into()),
        }
        Ok(String::new())
    }
}

fn play(script: &str) -> std::io::Result<()> {
    goldenscript::run(&mut Story::default(), format!("tests/budgets/{script}"))
}

#[test]
fn numbers() -> std::io::Result<()> {
    play("numbers")
}

#[test]
fn evictions() -> std::io::Result<()> {
    play("evictions")
}
