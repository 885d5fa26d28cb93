//! Stories of a Deployment's ReplicaSets, as golden scripts: what each look at them does next.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;

use controllers::deployment::{revision, rollout, status};
use goldenscript::{Command, Context, Runner};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, ReplicaSet, ReplicaSetSpec, ReplicaSetStatus,
    RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use kube::api::ObjectMeta;

type Outcome = Result<String, Box<dyn Error>>;

/// A Deployment with its ReplicaSets, named after the image of their template.
#[derive(Default)]
struct Story {
    deployment: Deployment,
    sets: Vec<Arc<ReplicaSet>>,
    seconds: i64,
    /// The set that was made since the status was last written.
    made: Option<String>,
}

fn template(image: &str) -> PodTemplateSpec {
    let container = Container {
        name: "web".into(),
        image: Some(image.into()),
        ..Container::default()
    };
    PodTemplateSpec {
        metadata: None,
        spec: Some(PodSpec {
            containers: vec![container],
            ..PodSpec::default()
        }),
    }
}

fn amount(text: &str) -> IntOrString {
    text.parse()
        .map_or_else(|_| IntOrString::String(text.into()), IntOrString::Int)
}

impl Story {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.seconds).expect("the stories are short")
    }

    fn spec(&mut self) -> &mut DeploymentSpec {
        self.deployment.spec.get_or_insert_default()
    }

    fn configure(&mut self, command: &Command) {
        for arg in command.consume_args() {
            let goldenscript::Argument::KeyValue(key, value) = arg else {
                continue;
            };
            let spec = self.spec();
            let strategy = spec
                .strategy
                .get_or_insert_with(DeploymentStrategy::default);
            let rolling = strategy
                .rolling_update
                .get_or_insert_with(RollingUpdateDeployment::default);
            match key.as_str() {
                "image" => spec.template = template(value),
                "replicas" => spec.replicas = value.parse().ok(),
                "surge" => rolling.max_surge = Some(amount(value)),
                "unavailable" => rolling.max_unavailable = Some(amount(value)),
                "strategy" => strategy.type_ = Some(value.clone()),
                "deadline" => spec.progress_deadline_seconds = value.parse().ok(),
                "history" => spec.revision_history_limit = value.parse().ok(),
                other => panic!("unknown setting {other}"),
            }
        }
    }

    fn split(&self) -> (Option<Arc<ReplicaSet>>, Vec<Arc<ReplicaSet>>) {
        revision::split(&self.deployment, &self.sets)
    }

    fn create_new(&mut self, old: &[Arc<ReplicaSet>]) -> ReplicaSet {
        let spec = self.spec().clone();
        let image = spec.template.spec.iter().flat_map(|spec| &spec.containers);
        let image = image
            .filter_map(|container| container.image.clone())
            .collect::<String>();
        let others: i32 = old.iter().map(|set| rollout::wanted(set)).sum();
        let replicas = rollout::new_replicas(&self.deployment, 0, others);
        let number = old
            .iter()
            .map(|set| revision::revision(set))
            .max()
            .unwrap_or(0)
            + 1;
        let annotations = revision::annotations_for(&self.deployment, None, Some(number));
        self.seconds += 1;
        ReplicaSet {
            metadata: ObjectMeta {
                name: Some(image),
                annotations: Some(annotations),
                creation_timestamp: Some(Time(self.now())),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(replicas),
                template: Some(spec.template),
                ..ReplicaSetSpec::default()
            }),
            status: None,
        }
    }

    /// One look of the controller, as its shell does it.
    fn step(&mut self) -> Outcome {
        let mut output = String::new();
        let (new, old) = self.split();
        let steps = if rollout::is_scaling(&self.deployment, &self.sets) {
            rollout::scale(&self.deployment, new.as_ref(), &old)
        } else if rollout::is_recreate(&self.deployment)
            && old.iter().any(|set| rollout::wanted(set) > 0)
        {
            rollout::stop_old(&old)
        } else if let Some(new) = &new {
            rollout::roll(&self.deployment, new, &old)
        } else {
            let new = self.create_new(&old);
            writeln!(
                output,
                "make {} with {}",
                new.name_any(),
                rollout::wanted(&new)
            )?;
            self.made = Some(new.name_any());
            self.replace(new);
            return Ok(output);
        };
        for rollout::Scale { replica_set, to } in steps {
            let from = rollout::wanted(&replica_set);
            writeln!(
                output,
                "scale {} from {from} to {to}",
                replica_set.name_any()
            )?;
            let mut set = ReplicaSet::clone(&replica_set);
            set.spec.get_or_insert_default().replicas = Some(to);
            self.replace(set);
        }
        if output.is_empty() {
            output.push_str("nothing to do\n");
        }
        Ok(output)
    }

    /// Puts a set in place, with the annotations that the shell writes when it scales.
    fn replace(&mut self, mut set: ReplicaSet) {
        let fences = rollout::Fences::of(&self.deployment);
        let annotations = set.metadata.annotations.get_or_insert_default();
        let most = fences.replicas + fences.max_surge;
        annotations.insert(
            revision::DESIRED_REPLICAS.into(),
            fences.replicas.to_string(),
        );
        annotations.insert(revision::MAX_REPLICAS.into(), most.to_string());
        self.sets.retain(|known| known.name_any() != set.name_any());
        self.sets.push(Arc::new(set));
        self.sets.sort_by_key(|set| revision::age(set));
    }

    /// So many pods of a set exist, and so many of those work.
    fn pods(&mut self, name: &str, exist: i32, work: i32) {
        for set in &mut self.sets {
            if set.name_any() == name {
                let mut updated = ReplicaSet::clone(set);
                updated.status = Some(ReplicaSetStatus {
                    replicas: exist,
                    ready_replicas: Some(work),
                    available_replicas: Some(work),
                    ..ReplicaSetStatus::default()
                });
                *set = Arc::new(updated);
            }
        }
    }

    fn status(&mut self) -> Outcome {
        let (new, old) = self.split();
        let made = self.made.take().map(status::Milestone::Created);
        let now = self.now();
        let status = status::status(&self.deployment, new.as_ref(), &old, made.as_ref(), now);
        let mut output = String::new();
        let number = |value: Option<i32>| value.unwrap_or(0);
        writeln!(
            output,
            "{} pods, {} updated, {} available, {} unavailable",
            number(status.replicas),
            number(status.updated_replicas),
            number(status.available_replicas),
            number(status.unavailable_replicas),
        )?;
        for condition in status.conditions.iter().flatten() {
            writeln!(
                output,
                "{}={} {}: {}",
                condition.type_,
                condition.status,
                condition.reason.as_deref().unwrap_or_default(),
                condition.message.as_deref().unwrap_or_default(),
            )?;
        }
        self.deployment.status = Some(status);
        Ok(output)
    }
}

impl Runner for Story {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Outcome {
        let mut args = command.consume_args();
        match command.name.as_str() {
            "deploy" => self.configure(command),
            "step" => return self.step(),
            "status" => return self.status(),
            "wait" => self.seconds += args.next_pos().unwrap_or("0").parse::<i64>()?,
            "pods" => {
                let name = args.next_pos().unwrap_or_default().to_owned();
                let exist = args.next_pos().unwrap_or("0").parse()?;
                let work = args.next_pos().unwrap_or("0").parse()?;
                self.pods(&name, exist, work);
            }
            "superfluous" => {
                let (_, old) = self.split();
                let names: Vec<_> = revision::superfluous(&self.deployment, &old)
                    .iter()
                    .map(|set| set.name_any())
                    .collect();
                return Ok(format!("[{}]\n", names.join(", ")));
            }
            other => return Err(format!("unknown command {other}").into()),
        }
        Ok(String::new())
    }

    fn start_script(&mut self) -> Result<(), Box<dyn Error>> {
        self.deployment.metadata.name = Some("web".into());
        Ok(())
    }
}

fn tell(name: &str) -> std::io::Result<()> {
    goldenscript::run(&mut Story::default(), format!("tests/scripts/{name}"))
}

#[test]
fn a_rolling_update_stays_inside_its_fences() -> std::io::Result<()> {
    tell("rolling_update")
}

#[test]
fn recreate_stops_the_old_before_the_new() -> std::io::Result<()> {
    tell("recreate")
}

#[test]
fn scaling_in_the_middle_keeps_the_proportions() -> std::io::Result<()> {
    tell("scale_in_proportion")
}
