//! Lifecycle hooks: what a container wants done after its start and before its end.

use std::time::Duration;

use k8s_openapi::api::core::v1::LifecycleHandler;

use super::check::{self, Action, Target};
use crate::context::Context;

/// Carries out a hook. Upstream: `pkg/kubelet/lifecycle/handlers.go`.
///
/// # Errors
/// What went wrong with it.
pub async fn run(
    context: &Context,
    target: &Target,
    handler: &LifecycleHandler,
    timeout: Duration,
) -> Result<(), String> {
    if let Some(action) = &handler.exec {
        check::run(context, target, Action::Exec(action), timeout)
            .await
            .map(drop)
    } else if let Some(action) = &handler.http_get {
        check::run(context, target, Action::Http(action), timeout)
            .await
            .map(drop)
    } else if let Some(sleep) = &handler.sleep {
        let wanted = Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0));
        tokio::time::sleep(wanted.min(timeout)).await;
        Ok(())
    } else if let Some(action) = &handler.tcp_socket {
        check::run(context, target, Action::Tcp(action), timeout)
            .await
            .map(drop)
    } else {
        Ok(())
    }
}
