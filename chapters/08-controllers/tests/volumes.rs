//! Stories of volumes and claims, as golden scripts: what the binder does with each until all is
//! settled. What it does by writing is done to the objects here.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;

use controllers::persistent_volume::plan::{
    self, ClaimStep, News, VolumeStep, World, claim_step, volume_step,
};
use goldenscript::{Command, Context, Runner};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use serde_json::{Map, Value, json};
use volume_binding::{
    BIND_COMPLETED, bind_to_claim, claim_phase, volume_name, volume_phase, volume_spec,
};

type Outcome = Result<String, Box<dyn Error>>;

#[derive(Default)]
struct Story {
    volumes: BTreeMap<String, PersistentVolume>,
    claims: BTreeMap<String, PersistentVolumeClaim>,
    classes: BTreeMap<String, StorageClass>,
    unscheduled: Vec<String>,
    uids: u32,
}

impl Runner for Story {
    type Command = Command;

    fn run(&mut self, command: &Command, _context: &Context) -> Outcome {
        let mut args = command.consume_args();
        let name = args.next_pos().unwrap_or_default().to_owned();
        let fields: Vec<(String, String)> = std::iter::from_fn(|| args.next_key())
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        match command.name.as_str() {
            "volume" => drop(self.volumes.insert(name.clone(), volume(&name, &fields)?)),
            "claim" => {
                self.uids += 1;
                let claim = claim(&name, self.uids, &fields)?;
                self.claims.insert(name, claim);
            }
            "class" => drop(self.classes.insert(name.clone(), class(&name, &fields)?)),
            "pod" => self.unscheduled.push(name),
            "delete-volume" => drop(self.volumes.remove(&name)),
            "delete-claim" => drop(self.claims.remove(&name)),
            "settle" => return self.settle(),
            other => return Err(format!("no command {other}").into()),
        }
        Ok(String::new())
    }
}

/// Objects from `key=value`: where each key goes in a spec.
fn object<T: serde::de::DeserializeOwned>(
    mut metadata: Value,
    mut spec: Value,
    fields: &[(String, String)],
) -> Result<T, Box<dyn Error>> {
    for (key, value) in fields {
        let list: Vec<&str> = value.split(',').collect();
        match key.as_str() {
            "capacity" => spec["capacity"] = json!({"storage": value}),
            "request" => spec["resources"] = json!({"requests": {"storage": value}}),
            "modes" => spec["accessModes"] = json!(list),
            "class" => spec["storageClassName"] = json!(value),
            "for" => spec["claimRef"] = json!({"namespace": "ns", "name": value}),
            "policy" => spec["persistentVolumeReclaimPolicy"] = json!(value),
            "path" => spec["hostPath"] = json!({"path": value}),
            "local" => spec["local"] = json!({"path": value}),
            "wants" => spec["volumeName"] = json!(value),
            "label" => metadata["labels"]["disk"] = json!(value),
            "selects" => spec["selector"] = json!({"matchLabels": {"disk": value}}),
            other => return Err(format!("no field {other}").into()),
        }
    }
    Ok(serde_json::from_value(
        json!({"metadata": metadata, "spec": spec}),
    )?)
}

fn volume(name: &str, fields: &[(String, String)]) -> Result<PersistentVolume, Box<dyn Error>> {
    let spec = json!({"accessModes": ["ReadWriteOnce"]});
    object(json!({"name": name}), spec, fields)
}

fn claim(
    name: &str,
    uid: u32,
    fields: &[(String, String)],
) -> Result<PersistentVolumeClaim, Box<dyn Error>> {
    let metadata = json!({"namespace": "ns", "name": name, "uid": format!("u{uid}")});
    object(metadata, json!({"accessModes": ["ReadWriteOnce"]}), fields)
}

fn class(name: &str, fields: &[(String, String)]) -> Result<StorageClass, Box<dyn Error>> {
    let mut class = Map::from_iter([("metadata".to_owned(), json!({"name": name}))]);
    for (key, value) in fields {
        match key.as_str() {
            "default" => {
                class["metadata"]["annotations"] =
                    json!({"storageclass.kubernetes.io/is-default-class": value});
            }
            "provisioner" => drop(class.insert(key.clone(), json!(value))),
            "binding" => drop(class.insert("volumeBindingMode".to_owned(), json!(value))),
            other => return Err(format!("no field {other}").into()),
        }
    }
    Ok(serde_json::from_value(class.into())?)
}

impl Story {
    /// Does what is asked for until nothing new is, and says what that was.
    fn settle(&mut self) -> Outcome {
        let mut said = String::new();
        for _ in 0..20 {
            let before = said.len();
            for name in self.volumes.keys().cloned().collect::<Vec<_>>() {
                self.step_volume(&name, &mut said)?;
            }
            for name in self.claims.keys().cloned().collect::<Vec<_>>() {
                self.step_claim(&name, &mut said)?;
            }
            if said.len() == before {
                break;
            }
        }
        // What waits, and says why, again and again.
        for claim in self.claims.values() {
            if let ClaimStep::Wait(Some(news)) | ClaimStep::Provision(_, Some(news)) =
                claim_step(claim, &self.world())
            {
                writeln!(said, "{}: {}", claim.name_any(), event(&news))?;
            }
        }
        Ok(said)
    }

    fn world(&self) -> World<'_> {
        World {
            volumes: self.volumes.values().collect(),
            classes: self.classes.values().collect(),
            unscheduled: self.unscheduled.clone(),
        }
    }

    fn step_volume(&mut self, name: &str, said: &mut String) -> Result<(), Box<dyn Error>> {
        let volume = self.volumes[name].clone();
        let named = volume_spec(&volume).claim_ref.as_ref();
        let claim = named.and_then(|named| self.claims.get(named.name.as_ref()?));
        match volume_step(&volume, claim) {
            VolumeStep::Phase(phase) => self.set_volume_phase(name, phase, said)?,
            VolumeStep::LeaveToClaim => {}
            VolumeStep::Unbind => {
                self.volumes.insert(name.to_owned(), plan::unbound(&volume));
                self.set_volume_phase(name, "Available", said)?;
            }
            VolumeStep::Release => {
                if volume_phase(&volume) != "Failed" {
                    self.set_volume_phase(name, "Released", said)?;
                }
                if let Some(news) = plan::reclaim(&self.volumes[name].clone()) {
                    self.set_volume_phase(name, "Failed", said)?;
                    writeln!(said, "{name}: {}", event(&news))?;
                }
            }
        }
        Ok(())
    }

    fn step_claim(&mut self, name: &str, said: &mut String) -> Result<(), Box<dyn Error>> {
        let mut claim = self.claims[name].clone();
        let bound = match claim_step(&claim, &self.world()) {
            ClaimStep::Bind(volume) => {
                let bound = bind_to_claim(volume, &claim);
                Some(bound.unwrap_or_else(|| volume.clone()))
            }
            ClaimStep::TakeClass(class) => {
                writeln!(said, "{name}: class {class}")?;
                claim.spec.get_or_insert_default().storage_class_name = Some(class);
                None
            }
            ClaimStep::Provision(..) | ClaimStep::Wait(_) => {
                set_claim_phase(&mut claim, "Pending", said)?;
                None
            }
            ClaimStep::Lose(news) => {
                if claim_phase(&claim) != "Lost" {
                    writeln!(said, "{name}: {}", event(&news))?;
                }
                set_claim_phase(&mut claim, "Lost", said)?;
                None
            }
        };
        if let Some(volume) = bound {
            let volume_name_ = volume.name_any();
            self.volumes.insert(volume_name_.clone(), volume);
            self.set_volume_phase(&volume_name_, "Bound", said)?;
            if volume_name(&claim) != volume_name_ || claim_phase(&claim) != "Bound" {
                writeln!(said, "{name} has {volume_name_}")?;
            }
            claim.spec.get_or_insert_default().volume_name = Some(volume_name_);
            let annotations = claim.annotations_mut();
            annotations.insert(BIND_COMPLETED.to_owned(), "yes".to_owned());
            set_claim_phase(&mut claim, "Bound", said)?;
        }
        self.claims.insert(name.to_owned(), claim);
        Ok(())
    }

    fn set_volume_phase(&mut self, name: &str, phase: &str, said: &mut String) -> std::fmt::Result {
        let volume = self.volumes.get_mut(name).expect("it is there");
        if volume_phase(volume) != phase {
            writeln!(said, "{name}: {phase}")?;
            volume.status.get_or_insert_default().phase = Some(phase.to_owned());
        }
        Ok(())
    }
}

fn set_claim_phase(
    claim: &mut PersistentVolumeClaim,
    phase: &str,
    said: &mut String,
) -> std::fmt::Result {
    if claim_phase(claim) != phase {
        writeln!(said, "{}: {phase}", claim.name_any())?;
        claim.status.get_or_insert_default().phase = Some(phase.to_owned());
    }
    Ok(())
}

fn event(news: &News) -> String {
    let kind = if news.is_warning { "Warning" } else { "Normal" };
    format!("{kind} {}: {}", news.reason, news.message)
}

#[test]
fn scripts() -> std::io::Result<()> {
    golden::run_folder("tests/volumes", Story::default)
}
