//! `bench kubelet`: from a pod bound to a pod that runs, and what a node full of pods costs.
//!
//! Pods are bound when they are made (`spec.nodeName`), so the scheduler has no part in it; the
//! times are those at which a watch tells of them, as any client would see them. Beside it, in the
//! same run and without a kubelet, the runtime alone runs the same containers: see
//! [`alone`](super::alone).

use std::process::{Command, Stdio};
use std::time::Duration;

use super::figures::millis;
use super::pods::{Pods, Took};
use super::process::Kubelet as Process;
use super::table::Table;
use super::{Failure, alone};
use crate::lab::docker::engine::Engine;
use crate::lab::layout::Layout;
use crate::lab::record::{Record, Runtime};
use crate::lab::{Error, up};

/// What the pods run.
pub const IMAGE: &str = "workshop/echo";
/// The node that is measured.
const NODE: &str = "worker-1";
/// Pods that are made at once.
const CROWD: u32 = 50;
/// How long a kubelet is left alone before it is looked at.
const SETTLE: Duration = Duration::from_secs(5);

/// `bench kubelet`
#[derive(Debug, clap::Args)]
pub struct Kubelet {
    /// A runtime to measure; may be given several times [default: all that this machine has]
    #[arg(long, value_enum)]
    runtime: Vec<Runtime>,
    /// Pods to start one after the other
    #[arg(long, default_value_t = 50)]
    pods: u32,
    /// Pods that fill the node
    #[arg(long, default_value_t = 110)]
    full: u32,
    /// Seconds for which the full node is watched
    #[arg(long, default_value_t = 30)]
    rest: u64,
}

/// Measures one runtime after the other and prints a table.
///
/// # Errors
/// When a lab does not start or a pod does not run.
pub fn run(options: &Kubelet) -> Result<(), Error> {
    component::install_crypto();
    let async_runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::system("an async runtime"))?;
    let runtimes = match options.runtime.is_empty() {
        true => async_runtime.block_on(all_that_run_here()),
        false => options.runtime.clone(),
    };
    let mut table = Table::default();
    for runtime in runtimes {
        let runtime_name = name_of(runtime);
        eprintln!("measuring: {runtime_name}");
        let lab = Lab::start(runtime, runtime_name)?;
        table.column(runtime_name);
        let measured = async_runtime.block_on(measure(options, &lab, &mut table));
        measured.map_err(|error| Error::Refused(format!("{runtime_name}: {error}")))?;
    }
    println!("{}", table.markdown());
    Ok(())
}

async fn all_that_run_here() -> Vec<Runtime> {
    let mut found = vec![Runtime::Embedded];
    match Engine::connect().await {
        Ok(_) => found.push(Runtime::Docker),
        Err(error) => eprintln!("without docker: {error}"),
    }
    match up::can_have_containerd() {
        Ok(()) => found.push(Runtime::Containerd),
        Err(error) => eprintln!("without containerd: {error}"),
    }
    found
}

fn name_of(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Embedded => "embedded",
        Runtime::Docker => "docker",
        Runtime::Containerd => "containerd",
    }
}

async fn measure(options: &Kubelet, lab: &Lab, table: &mut Table) -> Result<(), Failure> {
    let record = Record::load(&lab.layout).ok_or("the lab has no record")?;
    let mut pods = Pods::connect(&lab.layout, NODE).await?;
    let kubelet = Process::find(&record, NODE).await?;
    let show = |figures: Option<super::figures::Figures>| {
        figures.map_or_else(|| "–".to_owned(), |figures| figures.to_string())
    };

    // The first pod warms caches, and brings the image to the node.
    pods.start(1).await?;
    pods.delete().await?;
    let mut single = Took::default();
    for _ in 0..options.pods {
        single.add(pods.start(1).await?);
        single.add(pods.delete().await?);
    }
    table.cell(
        "one pod, bound to Running (p50 / p99 / worst)",
        show(single.running()),
    );
    table.cell("one pod, bound to Ready", show(single.ready()));
    table.cell(
        "… the runtime's part: sandbox / container made and started (mean)",
        pods.calls().await?,
    );
    table.cell("one pod, deleted to gone", show(single.gone()));

    let crowd = pods.start(CROWD).await?;
    let row = format!("{CROWD} pods at once, bound to Running");
    table.cell(&row, show(crowd.running()));
    let gone = pods.delete().await?;
    table.cell(
        &format!("{CROWD} pods at once, deleted to gone"),
        show(gone.gone()),
    );

    let free = options.full.saturating_sub(pods.count().await?);
    let before = kubelet.cpu();
    let full = pods.start(free).await?;
    let row = format!("a node of {} pods, all Running after", options.full);
    table.cell(&row, format!("{} ms", millis(full.all_running)));
    let used = kubelet.cpu() - before;
    let each = used / free.max(1);
    table.cell(
        "… processor time of the kubelet, a pod",
        format!("{} ms", millis(each)),
    );
    tokio::time::sleep(SETTLE).await;
    let before = kubelet.cpu();
    tokio::time::sleep(Duration::from_secs(options.rest)).await;
    let share = (kubelet.cpu() - before).as_secs_f64() / options.rest.max(1) as f64;
    table.cell(
        "… the kubelet at rest, of one core",
        format!("{:.2} %", share * 100.0),
    );
    let (pss, rss) = kubelet.memory_kib();
    let mib = |kib: u64| kib as f64 / 1024.0;
    let memory = format!("{:.1} / {:.1} MiB", mib(pss), mib(rss));
    table.cell("… its memory (PSS / RSS)", memory);
    let gone = pods.delete().await?;
    table.cell("… all gone after", format!("{} ms", millis(gone.all_gone)));

    let halted = kubelet.halt()?;
    if let Some(single) = alone::run(&record, &lab.layout, NODE, options.pods, 1).await? {
        table.cell("the runtime alone: one pod", single);
        let crowd = alone::run(&record, &lab.layout, NODE, CROWD, CROWD as usize).await?;
        let row = format!("the runtime alone: {CROWD} pods at once");
        table.cell(&row, show(crowd));
    }
    drop(halted);
    Ok(())
}

/// A lab of the measurement, which ends with it.
struct Lab {
    name: String,
    layout: Layout,
}

impl Lab {
    fn start(runtime: Runtime, runtime_name: &str) -> Result<Self, Error> {
        let name = format!("bench-{}-{runtime_name}", std::process::id());
        let lab = Self {
            layout: Layout::of(&name),
            name,
        };
        lab.command(&["up", "--nodes", "1", "--runtime", name_of(runtime)])?;
        Ok(lab)
    }

    fn command(&self, args: &[&str]) -> Result<(), Error> {
        let program = std::env::current_exe().map_err(Error::system("find this program"))?;
        let output = Command::new(program)
            .args(["lab", "--name", &self.name])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .map_err(Error::system("run the lab"))?;
        match output.status.success() {
            true => Ok(()),
            false => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                Err(Error::Refused(said))
            }
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = self.command(&["down"]) {
            eprintln!("{error}");
        }
    }
}
