//! Logs that are full: the runtime writes them, the kubelet puts them aside.
//!
//! Upstream: `pkg/kubelet/logs/container_log_manager.go`.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;

use super::messages as cri;
use super::{DEADLINE, LIST_DEADLINE};
use crate::runtime::sandbox::shim_log;
use grpc::client::{Client, Status};

/// How often logs are looked at. Upstream: `containerLogMonitorInterval`.
const PERIOD: Duration = Duration::from_secs(10);

/// Looks at the logs of what runs until the client is gone.
pub fn start(client: &Arc<Client>) {
    let client: Weak<Client> = Arc::downgrade(client);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(PERIOD).await;
            let Some(client) = client.upgrade() else {
                return;
            };
            if let Err(error) = look(&client, shim_log::LOG_LEN_MAX).await {
                tracing::debug!(%error, "logs not looked at");
            }
        }
    });
}

/// Puts aside the logs of running containers that are longer than that.
pub async fn look(client: &Client, length_max: u64) -> Result<(), Status> {
    let request = cri::ListContainersRequest { filter: None };
    let listed = client.call(&request, LIST_DEADLINE).await?.containers;
    let running = cri::ContainerState::Running as i32;
    for container in listed.into_iter().filter(|it| it.state == running) {
        let container_id = container.id;
        let request = cri::ContainerStatusRequest {
            container_id: container_id.clone(),
        };
        let reply = client.call(&request, LIST_DEADLINE).await?;
        let path = reply.status.unwrap_or_default().log_path;
        let length = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if length > length_max {
            rotate(client, container_id, Path::new(&path)).await?;
        }
    }
    Ok(())
}

/// The runtime writes on in the file that was put aside until it is told to open the path anew.
async fn rotate(client: &Client, container_id: String, path: &Path) -> Result<(), Status> {
    let aside = match shim_log::put_aside(path, Timestamp::now()) {
        Ok(aside) => aside,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "log not put aside");
            return Ok(());
        }
    };
    let request = cri::ReopenContainerLogRequest { container_id };
    if let Err(status) = client.call(&request, DEADLINE).await {
        // It still writes there, and `kubectl logs` reads here.
        let _gone_with_its_pod = std::fs::rename(aside, path);
        return Err(status);
    }
    if let Err(error) = shim_log::remove_surplus(path) {
        tracing::warn!(path = %path.display(), %error, "old logs not removed");
    }
    Ok(())
}
