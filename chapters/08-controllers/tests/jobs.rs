//! Stories of Jobs, as golden scripts: what each look at one does, done to the objects here.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;

use controllers::job::plan::{NewPod, Plan, is_finished, plan};
use controllers::job::{pod, tally};
use goldenscript::{Command, Context, Runner};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde_json::{Value, json};

type Outcome = Result<String, Box<dyn Error>>;

/// A Job and its pods, which are named `a`, `b` and so on as they are made.
struct Story {
    job: Job,
    pods: BTreeMap<String, Pod>,
    made: u8,
    seconds: i64,
}

impl Default for Story {
    fn default() -> Self {
        let job = json!({
            "metadata": {"name": "job", "namespace": "default", "uid": "job"},
            "spec": {"backoffLimit": 6, "template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "main"}],
            }}},
        });
        Story {
            job: serde_json::from_value(job).expect("it is a Job"),
            pods: BTreeMap::new(),
            made: 0,
            seconds: 0,
        }
    }
}

impl Story {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.seconds).expect("the stories are short")
    }

    /// Merges a JSON patch into the Job's spec.
    fn spec(&mut self, patch: &str) -> Result<(), Box<dyn Error>> {
        let patch: Value = serde_json::from_str(patch)?;
        let mut job = serde_json::to_value(&self.job)?;
        for (key, value) in patch.as_object().into_iter().flatten() {
            job["spec"][key] = value.clone();
        }
        self.job = serde_json::from_value(job)?;
        Ok(())
    }

    fn look(&mut self) -> Outcome {
        let pods: Vec<Arc<Pod>> = self.pods.values().cloned().map(Arc::new).collect();
        let plan = plan(&self.job, &pods, true, self.now());
        let mut told = String::new();
        for new in &plan.create {
            writeln!(told, "make {}", self.create(new))?;
        }
        for gone in &plan.dismiss {
            writeln!(told, "dismiss {}", gone.name_any())?;
            self.pods.remove(&gone.name_any());
        }
        for gone in &plan.delete {
            writeln!(told, "delete {}", gone.name_any())?;
            let pod = self.pods.get_mut(&gone.name_any()).ok_or("it is there")?;
            pod.metadata.deletion_timestamp = Some(Time(Timestamp::from_second(self.seconds)?));
        }
        let released = plan.release.iter().map(|pod| pod.name_any());
        let released: Vec<String> = released.collect();
        if !released.is_empty() {
            writeln!(told, "let go {}", released.join(" "))?;
        }
        for name in released {
            let pod = self.pods.get_mut(&name).ok_or("it is there")?;
            pod.metadata.finalizers = None;
        }
        told += &self.write_status(plan)?;
        // Whoever is deleted and held by nothing is gone.
        self.pods.retain(|_, pod| {
            pod.metadata.deletion_timestamp.is_none() || pod.metadata.finalizers.is_some()
        });
        Ok(told)
    }

    fn create(&mut self, new: &NewPod) -> String {
        let name = char::from(b'a' + self.made).to_string();
        self.made += 1;
        let mut pod = pod::pod(&self.job, new);
        pod.metadata.name = Some(name.clone());
        pod.metadata.namespace = Some("default".into());
        pod.metadata.uid = Some(name.clone());
        pod.metadata.creation_timestamp = Some(Time(self.now()));
        let mut told = name.clone();
        if let Some(index) = tally::index_of(&pod) {
            told += &format!(" for index {index}");
        }
        if let Some((counted, ignored)) = new.failures.filter(|it| *it != (0, 0)) {
            told += &format!(", after {counted} failures and {ignored} ignored");
        }
        self.pods.insert(name, pod);
        told
    }

    fn write_status(&mut self, plan: Plan) -> Outcome {
        let mut told = String::new();
        if self.job.status.as_ref() != Some(&plan.status) {
            let status = &plan.status;
            let numbers = [
                ("active", status.active),
                ("ready", status.ready),
                ("terminating", status.terminating),
                ("succeeded", status.succeeded),
                ("failed", status.failed),
            ];
            let mut parts: Vec<String> = numbers
                .into_iter()
                .filter_map(|(name, number)| Some((name, number.filter(|it| *it != 0)?)))
                .map(|(name, number)| format!("{name} {number}"))
                .collect();
            let known = self.job.status.as_ref();
            if known.and_then(|known| known.start_time.as_ref()) != status.start_time.as_ref() {
                parts.insert(0, "started".into());
            }
            let indexes = [
                ("completed", &status.completed_indexes),
                ("failed indexes", &status.failed_indexes),
            ];
            for (name, text) in indexes {
                let text = text.as_deref().filter(|text| !text.is_empty());
                parts.extend(text.map(|text| format!("{name} {text}")));
            }
            let uncounted = status.uncounted_terminated_pods.clone().unwrap_or_default();
            for (name, uids) in [
                ("ended well", uncounted.succeeded),
                ("failed", uncounted.failed),
            ] {
                parts
                    .extend(uids.map(|uids| format!("not counted yet: {} {name}", uids.join(" "))));
            }
            for condition in status.conditions.iter().flatten() {
                let known = self
                    .job
                    .status
                    .as_ref()
                    .and_then(|it| it.conditions.as_ref());
                if !known.is_some_and(|known| known.contains(condition)) {
                    parts.push(format!(
                        "{}={} {}: {}",
                        condition.type_,
                        condition.status,
                        condition.reason.as_deref().unwrap_or_default(),
                        condition.message.as_deref().unwrap_or_default(),
                    ));
                }
            }
            writeln!(told, "status: {}", parts.join("; "))?;
            self.job.status = Some(plan.status);
        }
        if let Some(again) = plan.again {
            writeln!(told, "again in {again:?}")?;
        }
        Ok(told)
    }

    /// Looks until nothing happens any more, or the Job has ended.
    fn settle(&mut self) -> Outcome {
        let mut told = String::new();
        for _ in 0..20 {
            let before = (self.job.clone(), self.pods.clone());
            told += &self.look()?;
            let has_ended = is_finished(&self.job);
            if has_ended || before == (self.job.clone(), self.pods.clone()) {
                break;
            }
        }
        Ok(told)
    }

    /// A pod's state as its kubelet would tell it.
    fn pod(&mut self, name: &str, phase: &str, code: Option<i32>) -> Result<(), Box<dyn Error>> {
        let finished = Time(self.now());
        let terminated = code.map(|code| {
            json!([{"name": "main", "state": {"terminated": {
                "exitCode": code, "finishedAt": finished,
            }}}])
        });
        let ready = if phase == "Running" { "True" } else { "False" };
        let status = json!({
            "phase": phase,
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": finished}],
            "containerStatuses": terminated,
        });
        let pod = self.pods.get_mut(name).ok_or("no such pod")?;
        pod.status = Some(serde_json::from_value(status)?);
        Ok(())
    }
}

impl Runner for Story {
    type Command = Command;

    fn run(&mut self, command: &Command, _context: &Context) -> Outcome {
        let mut args = command.consume_args();
        let words: Vec<String> =
            std::iter::from_fn(|| args.next_pos().map(str::to_owned)).collect();
        let first = words.first().map_or("", String::as_str);
        match command.name.as_str() {
            "spec" => self.spec(first)?,
            "run" => words
                .iter()
                .try_for_each(|name| self.pod(name, "Running", None))?,
            "succeed" => words
                .iter()
                .try_for_each(|name| self.pod(name, "Succeeded", Some(0)))?,
            "fail" => words
                .iter()
                .try_for_each(|name| self.pod(name, "Failed", Some(1)))?,
            "exit" => self.pod(
                first,
                "Failed",
                Some(words.get(1).ok_or("a code")?.parse()?),
            )?,
            "disrupt" => {
                self.pod(first, "Failed", Some(137))?;
                let status = self.pods.get_mut(first).and_then(|pod| pod.status.as_mut());
                let condition = json!({"type": "DisruptionTarget", "status": "True"});
                let conditions = status
                    .ok_or("it is there")?
                    .conditions
                    .get_or_insert_default();
                conditions.push(serde_json::from_value(condition)?);
            }
            "after" => self.seconds += first.parse::<i64>()?,
            "look" => return self.look(),
            "settle" => return self.settle(),
            other => return Err(format!("no command {other}").into()),
        }
        Ok(String::new())
    }
}

fn play(script: &str) -> std::io::Result<()> {
    goldenscript::run(&mut Story::default(), format!("tests/jobs/{script}"))
}

macro_rules! stories {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() -> std::io::Result<()> {
            play(stringify!($name))
        })+
    };
}

stories!(
    completions,
    work_queue,
    failures,
    deadline,
    suspended,
    indexed,
    by_index,
    failure_policy,
    success_policy,
);
