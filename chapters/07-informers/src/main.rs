//! Prints the changes of a resource as an informer tells them, on any cluster.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use component::CancellationToken;
use informers::list_watch::{ObjectListerWatcher, Selection};
use informers::reflector::Reflector;
use informers::shared_informer::{Event, SharedInformer};
use kube::api::{Api, DynamicObject};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Config, ResourceExt};

/// Follows a resource: what is there, then every change.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The kubeconfig to use; else `KUBECONFIG`, else the usual places.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// Only objects with these labels: `app=web`.
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// What to follow: `pods`, `deployments`, …
    resource: String,
}

fn main() -> ExitCode {
    let args = Args::parse();
    component::main(|shutdown| follow(args, shutdown))
}

async fn follow(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    let config = match &args.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?
        }
        None => Config::infer().await?,
    };
    let client = api_client::client(config)?;
    let discovery = kube::Discovery::new(client.clone()).run().await?;
    let (resource, _) = discovery
        .groups()
        .flat_map(|group| group.recommended_resources())
        .find(|(resource, _)| resource.plural == args.resource)
        .ok_or_else(|| {
            anyhow::anyhow!(
                "the server doesn't have a resource type {:?}",
                args.resource
            )
        })?;

    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let selection = Selection {
        label_selector: args.selector,
        field_selector: None,
    };
    let mut informer = SharedInformer::<DynamicObject>::new(&[]);
    informer.on_event(|event| {
        let verb = match event {
            Event::Added(_) => "ADDED",
            Event::Updated(..) => "UPDATED",
            Event::Deleted(_) => "DELETED",
        };
        let object = event.object();
        let revision = object.resource_version().unwrap_or_default();
        println!(
            "{verb:<8} {revision:>8} {}",
            informers::key_of(object.as_ref())
        );
    });
    informer
        .run(
            Reflector::new(ObjectListerWatcher::new(api, selection)),
            shutdown,
        )
        .await;
    Ok(())
}
