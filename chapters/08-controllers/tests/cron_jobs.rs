//! Stories of CronJobs, as golden scripts: what each look at one does, done to the objects here.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;

use controllers::cron_job::plan::{SCHEDULED, plan, with_job};
use goldenscript::{Command, Context, Runner};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::ResourceExt;
use serde_json::{Value, json};

type Outcome = Result<String, Box<dyn Error>>;

/// A CronJob, its Jobs, and the time, which begins with the year 2026.
struct Story {
    cron_job: CronJob,
    jobs: BTreeMap<String, Job>,
    now: Timestamp,
}

impl Default for Story {
    fn default() -> Self {
        let cron_job = json!({
            "metadata": {"name": "c", "namespace": "default", "uid": "c",
                "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {}}}},
        });
        Story {
            cron_job: serde_json::from_value(cron_job).expect("it is a CronJob"),
            jobs: BTreeMap::new(),
            now: "2026-01-01T00:00:00Z".parse().expect("it is a time"),
        }
    }
}

impl Story {
    fn spec(&mut self, patch: &str) -> Result<(), Box<dyn Error>> {
        let patch: Value = serde_json::from_str(patch)?;
        let mut cron_job = serde_json::to_value(&self.cron_job)?;
        for (key, value) in patch.as_object().into_iter().flatten() {
            cron_job["spec"][key] = value.clone();
        }
        self.cron_job = serde_json::from_value(cron_job)?;
        Ok(())
    }

    fn look(&mut self) -> Outcome {
        let jobs: Vec<Arc<Job>> = self.jobs.values().cloned().map(Arc::new).collect();
        let status = self.cron_job.status.clone().unwrap_or_default();
        let active = status.active.unwrap_or_default();
        let uids = active.into_iter().filter_map(|it| it.uid);
        let missing: BTreeSet<String> = uids
            .filter(|uid| {
                !jobs
                    .iter()
                    .any(|job| job.metadata.uid.as_ref() == Some(uid))
            })
            .collect();
        let mut plan = plan(&self.cron_job, &jobs, &missing, self.now);
        let mut told = String::new();
        for news in &plan.news {
            let kind = if news.warning { "Warning" } else { "Normal" };
            writeln!(told, "{kind} {}: {}", news.reason, news.message)?;
        }
        for gone in &plan.delete {
            writeln!(told, "delete {}", gone.name_any())?;
            self.jobs.remove(&gone.name_any());
        }
        if let Some((mut job, time)) = plan.create {
            let name = job.name_any();
            job.metadata.uid = Some(name.clone());
            writeln!(told, "make {name} for {}", job.annotations()[SCHEDULED])?;
            plan.status = with_job(plan.status, &job, time);
            self.jobs.insert(name, job);
        }
        let active = plan.status.active.iter().flatten();
        let active: Vec<&str> = active.filter_map(|it| it.name.as_deref()).collect();
        writeln!(told, "active: {}", active.join(" "))?;
        if let Some(again) = plan.again {
            writeln!(told, "again in {again:?}")?;
        }
        self.cron_job.status = Some(plan.status);
        Ok(told)
    }

    fn end(&mut self, name: &str, how: &str) -> Result<(), Box<dyn Error>> {
        let job = self.jobs.get_mut(name).ok_or("no such Job")?;
        let completed = (how == "Complete").then(|| self.now.to_string());
        let status = json!({
            "startTime": self.now.to_string(), "completionTime": completed,
            "conditions": [{"type": how, "status": "True"}],
        });
        job.status = Some(serde_json::from_value(status)?);
        Ok(())
    }
}

impl Runner for Story {
    type Command = Command;

    fn run(&mut self, command: &Command, _context: &Context) -> Outcome {
        let mut args = command.consume_args();
        let first = args.next_pos().map(str::to_owned).unwrap_or_default();
        match command.name.as_str() {
            "spec" => self.spec(&first)?,
            "at" => self.now = format!("2026-01-{first}Z").parse()?,
            "complete" => self.end(&first, "Complete")?,
            "fail" => self.end(&first, "Failed")?,
            "gone" => drop(self.jobs.remove(&first)),
            "look" => return self.look(),
            other => return Err(format!("no command {other}").into()),
        }
        Ok(String::new())
    }
}

fn play(script: &str) -> std::io::Result<()> {
    goldenscript::run(&mut Story::default(), format!("tests/cron_jobs/{script}"))
}

#[test]
fn by_the_clock() -> std::io::Result<()> {
    play("by_the_clock")
}

#[test]
fn concurrency() -> std::io::Result<()> {
    play("concurrency")
}

#[test]
fn history() -> std::io::Result<()> {
    play("history")
}
