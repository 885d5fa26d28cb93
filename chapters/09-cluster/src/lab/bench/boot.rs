//! `bench boot`: how quick a start is, of a lab and of a pod, and what a cluster costs at rest.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};

use crate::lab::control::{Conversation, Reply, Request};
use crate::lab::layout::Layout;
use crate::lab::status::{self, Row};
use crate::lab::{Error, down};

use super::Failure;
use super::figures::percentile;

/// How long the cluster is left alone before its memory is read.
const REST: Duration = Duration::from_secs(5);
/// A pod that takes longer is a failure, not a figure.
const POD_TIMEOUT: Duration = Duration::from_secs(10);

/// `bench boot`
#[derive(Debug, clap::Args)]
pub struct Boot {
    /// Labs to start, one after the other
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Pods to start in the last of them, one after the other
    #[arg(long, default_value_t = 50)]
    pods: u32,
}

/// One start of a lab.
struct Start {
    /// The steps, with the milliseconds since the supervisor was started.
    steps: Vec<(String, u64)>,
    /// From the command to its end.
    whole: Duration,
}

/// Measures and prints a table.
///
/// # Errors
/// When a lab does not start or a pod does not run.
pub fn run(options: &Boot) -> Result<(), Error> {
    let name = format!("bench-{}", std::process::id());
    let layout = Layout::of(&name);
    let mut result = Ok(());
    for round in 1..=options.rounds {
        let start = match start(&name, &layout) {
            Ok(start) => start,
            Err(error) => {
                result = Err(error);
                break;
            }
        };
        println!("start {round}: {:.3} s", start.whole.as_secs_f64());
        for (step, at_ms) in &start.steps {
            println!("  {step:<44} {:.3} s", *at_ms as f64 / 1000.0);
        }
        if round == options.rounds {
            result = measure(&name, &layout, options.pods);
        }
        down::run(&name, &layout)?;
    }
    result
}

fn start(name: &str, layout: &Layout) -> Result<Start, Error> {
    let program = std::env::current_exe().map_err(Error::system("find this program"))?;
    let began = Instant::now();
    let output = Command::new(program)
        .args(["lab", "--name", name, "up"])
        .stdin(Stdio::null())
        .output()
        .map_err(Error::system("start a lab"))?;
    let whole = began.elapsed();
    if !output.status.success() {
        return Err(Error::Refused(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ));
    }
    let mut steps = Vec::new();
    if let Some(conversation) = Conversation::start(layout, &Request::Wait)? {
        conversation.finish(|reply| {
            if let Reply::Did { what, at_ms } = reply {
                steps.push((what, at_ms));
            }
        })?;
    }
    Ok(Start { steps, whole })
}

fn measure(name: &str, layout: &Layout, pods: u32) -> Result<(), Error> {
    std::thread::sleep(REST);
    memory(&status::rows(name, layout)?);
    component::install_crypto();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::system("an async runtime")(source))?;
    let mut latencies = runtime
        .block_on(start_pods(layout, pods))
        .map_err(|error| Error::Refused(format!("a pod did not run: {error}")))?;
    latencies.sort();
    println!("\npods, from create to Running ({pods}, one after the other):");
    for (name, share) in [("p50", 50), ("p90", 90), ("p99", 99), ("worst", 100)] {
        if let Some(latency) = percentile(&latencies, share) {
            println!("  {name:<8} {:>8.1} ms", latency.as_secs_f64() * 1000.0);
        }
    }
    Ok(())
}

fn memory(rows: &[Row]) {
    println!("\nmemory at rest:                        PSS         RSS");
    let control_plane = ["apiserver", "scheduler", "controllers"];
    let print = |what: &str, rows: &[&Row]| {
        let sum = |of: fn(&Row) -> u64| rows.iter().map(|row| of(row)).sum::<u64>() as f64 / 1024.0;
        let (pss, rss) = (sum(|row| row.pss_kib), sum(|row| row.rss_kib));
        println!("  {what:<28} {pss:>8.1} MiB {rss:>8.1} MiB");
    };
    for row in rows {
        print(&format!("{} {}", row.node, row.component), &[row]);
    }
    let is_control_plane = |row: &&Row| control_plane.contains(&row.component.as_str());
    print(
        "control plane",
        &rows.iter().filter(is_control_plane).collect::<Vec<_>>(),
    );
    print("whole cluster", &rows.iter().collect::<Vec<_>>());
}

/// Starts pods one after the other, and takes the time from the request to the news that the pod
/// runs.
async fn start_pods(layout: &Layout, count: u32) -> Result<Vec<Duration>, Failure> {
    let config = kube::config::Kubeconfig::read_from(layout.kubeconfig())?;
    let config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await?;
    let pods: Api<Pod> = Api::namespaced(Client::try_from(config)?, "default");
    let mut latencies = Vec::new();
    for number in 0..count {
        let pod = pod(number);
        let version = pods
            .list(&Default::default())
            .await?
            .metadata
            .resource_version;
        let selector = format!("metadata.name=bench-{number}");
        let params = WatchParams::default().fields(&selector);
        let events = pods.watch(&params, &version.unwrap_or_default()).await?;
        let mut events = std::pin::pin!(events.fuse());
        let began = Instant::now();
        pods.create(&PostParams::default(), &pod).await?;
        let running = async {
            while let Some(event) = events.try_next().await? {
                if let WatchEvent::Modified(pod) = event
                    && pod.status.and_then(|status| status.phase).as_deref() == Some("Running")
                {
                    return Ok(began.elapsed());
                }
            }
            Err(Failure::from("the watch ended"))
        };
        latencies.push(tokio::time::timeout(POD_TIMEOUT, running).await??);
        pods.delete(
            &format!("bench-{number}"),
            &DeleteParams::default().grace_period(0),
        )
        .await?;
    }
    Ok(latencies)
}

fn pod(number: u32) -> Pod {
    serde_json::from_value(serde_json::json!({
        "metadata": {"name": format!("bench-{number}")},
        "spec": {"containers": [{"name": "echo", "image": "workshop/echo"}]},
    }))
    .expect("the pod is well-formed")
}
