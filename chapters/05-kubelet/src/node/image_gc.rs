//! Removes images that nobody uses when the disk fills up, every five minutes.
//!
//! Upstream: `pkg/kubelet/kubelet.go: StartGarbageCollection`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::decide::eviction::Supply;
use crate::decide::image_gc::{self, Records};
use crate::decide::spec;
use crate::events::Severity;
use crate::runtime::{Image, Result};

/// How often the disk is looked at. Upstream: `ImageGCPeriod`.
const PERIOD: Duration = Duration::from_secs(300);

/// Looks after the node's images until `shutdown`.
pub async fn run(context: Arc<Context>, shutdown: CancellationToken) {
    let mut tick = tokio::time::interval(PERIOD);
    let mut failed_before = false;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = shutdown.cancelled() => return,
        }
        let failed = collect(&context).await.err();
        if let Some(why) = &failed {
            tracing::warn!(why, "image garbage collection failed");
            // Once may be chance.
            if failed_before {
                tell(&context, "ImageGCFailed", why.clone());
            }
        }
        failed_before = failed.is_some();
    }
}

/// Makes room if the disk is too full. The error is what the node's events say.
async fn collect(context: &Context) -> std::result::Result<(), String> {
    let policy = context.config.image_gc();
    // Also when there is room: how long images were unused is learned this way.
    let mut records = context.images.lock().await;
    let now = Timestamp::now();
    let detected = detect(context, &mut records, now).await;
    detected.map_err(|error| error.to_string())?;
    let disk = disk(context);
    if disk.is_some_and(|disk| disk.capacity == 0) {
        let message = "invalid capacity 0 on image filesystem".to_owned();
        tell(context, "InvalidDiskCapacity", message.clone());
        return Err(message);
    }
    let Some(wanted) = disk.and_then(|disk| policy.bytes_to_free(&disk)) else {
        return Ok(());
    };
    tracing::info!(wanted, "the disk fills up: images go");
    let freed = remove(context, &mut records, wanted, now).await;
    let freed = freed.map_err(|error| error.to_string())?;
    if freed >= wanted {
        return Ok(());
    }
    let message = image_gc::not_enough(wanted, freed);
    tell(context, "FreeDiskSpaceFailed", message.clone());
    Err(message)
}

/// Looks at the images, and at who uses them.
async fn detect(context: &Context, records: &mut Records, now: Timestamp) -> Result<()> {
    let images = context.runtime.list_images().await?;
    let containers = context.runtime.list_containers(None).await?;
    let mut used = BTreeSet::new();
    for container in &containers {
        let names = [&container.image_ref, &container.image];
        let found = images.iter().filter(|image| {
            let mut known = image.repo_digests.iter().chain(&image.repo_tags);
            names.contains(&&image.id) || known.any(|name| names.contains(&name))
        });
        used.extend(found.map(|image| image.id.clone()));
    }
    // What a pod names it may be about to start, or mount.
    for pod in context.ledger.pods() {
        for reference in references(&pod) {
            // A name that makes no sense is the pod's own trouble.
            if let Ok(Some(Image { id, .. })) = context.runtime.image_status(reference).await {
                used.insert(id);
            }
        }
    }
    records.detect(&images, &used, now);
    Ok(())
}

fn references(pod: &Pod) -> Vec<&str> {
    let spec = spec::of(pod);
    let containers = spec::init_containers(pod).iter().chain(&spec.containers);
    let images = containers.filter_map(|container| container.image.as_deref());
    let guests = spec::ephemeral_containers(pod).iter();
    let guests = guests.filter_map(|guest| guest.image.as_deref());
    let volumes = spec.volumes.iter().flatten();
    let volumes = volumes.filter_map(|volume| volume.image.as_ref()?.reference.as_deref());
    images.chain(guests).chain(volumes).collect()
}

/// Removes images until so many bytes are free. How many were.
async fn remove(
    context: &Context,
    records: &mut Records,
    wanted: u64,
    now: Timestamp,
) -> Result<u64> {
    let mut freed = 0;
    let mut failed = None;
    for (id, size_bytes) in records.removable(&context.config.image_gc(), now) {
        if freed >= wanted {
            break;
        }
        match context.runtime.remove_image(&id).await {
            Ok(()) => {
                tracing::info!(image = id, size_bytes, "image removed");
                context.metrics.image_collected("space");
                records.removed(&id);
                freed += size_bytes;
            }
            // Others may still go.
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if freed < wanted => Err(error),
        _ => Ok(freed),
    }
}

fn disk(context: &Context) -> Option<Supply> {
    let store = context.config.image_store();
    let folder = match store.exists() {
        true => &store,
        false => &context.config.root_dir,
    };
    let fs = rustix::fs::statvfs(folder).ok()?;
    Some(Supply {
        available: fs.f_bavail * fs.f_frsize,
        capacity: fs.f_blocks * fs.f_frsize,
    })
}

fn tell(context: &Context, reason: &str, message: String) {
    // Upstream names the node by its name alone as well.
    let name = Some(context.node_name.clone());
    let node = Node {
        metadata: ObjectMeta {
            uid: name.clone(),
            name,
            ..ObjectMeta::default()
        },
        ..Node::default()
    };
    let recorder = &context.recorder;
    recorder.node(&node, Severity::Warning, reason, message);
}
