//! CRI's messages, version 1: those parts of them that the kubelet fills in or reads.
//!
//! `tag` is a field's number on the wire. Fields that are left out here are skipped when read and
//! have their default for the other side, which is how protobuf lets both sides grow.
//!
//! Upstream: `staging/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto`.

mod commands;
mod config;
mod containers;
mod images;
mod namespaces;
mod runtime;
mod sandboxes;
mod stats;

use std::collections::BTreeMap;

use prost::Message;

pub use commands::*;
pub use config::*;
pub use containers::*;
use grpc::client::Rpc;
pub use images::*;
pub use namespaces::*;
pub use runtime::*;
pub use sandboxes::*;
pub use stats::*;

/// Says which method a request belongs to and what answers it.
macro_rules! rpcs {
    ($($service:literal: { $($method:literal $request:ident -> $reply:ident,)* })*) => {
        $($(impl Rpc for $request {
            const PATH: &'static str = concat!("/runtime.v1.", $service, "/", $method);
            type Reply = $reply;
        })*)*
    };
}

rpcs! {
    "RuntimeService": {
        "Version" VersionRequest -> VersionResponse,
        "Status" StatusRequest -> StatusResponse,
        "UpdateRuntimeConfig" UpdateRuntimeConfigRequest -> Empty,
        "RunPodSandbox" RunPodSandboxRequest -> RunPodSandboxResponse,
        "StopPodSandbox" StopPodSandboxRequest -> Empty,
        "RemovePodSandbox" RemovePodSandboxRequest -> Empty,
        "PodSandboxStatus" PodSandboxStatusRequest -> PodSandboxStatusResponse,
        "ListPodSandbox" ListPodSandboxRequest -> ListPodSandboxResponse,
        "CreateContainer" CreateContainerRequest -> CreateContainerResponse,
        "StartContainer" StartContainerRequest -> Empty,
        "StopContainer" StopContainerRequest -> Empty,
        "RemoveContainer" RemoveContainerRequest -> Empty,
        "ListContainers" ListContainersRequest -> ListContainersResponse,
        "ContainerStatus" ContainerStatusRequest -> ContainerStatusResponse,
        "UpdateContainerResources" UpdateContainerResourcesRequest -> Empty,
        "CheckpointContainer" CheckpointContainerRequest -> Empty,
        "ListContainerStats" ListContainerStatsRequest -> ListContainerStatsResponse,
        "ReopenContainerLog" ReopenContainerLogRequest -> Empty,
        "ExecSync" ExecSyncRequest -> ExecSyncResponse,
        "Exec" ExecRequest -> UrlResponse,
        "Attach" AttachRequest -> UrlResponse,
        "PortForward" PortForwardRequest -> UrlResponse,
    }
    "ImageService": {
        "ListImages" ListImagesRequest -> ListImagesResponse,
        "ImageStatus" ImageStatusRequest -> ImageStatusResponse,
        "PullImage" PullImageRequest -> PullImageResponse,
        "RemoveImage" RemoveImageRequest -> Empty,
    }
}

type Map = BTreeMap<String, String>;

/// A reply that says no more than that it was done.
#[derive(Clone, PartialEq, Message)]
pub struct Empty {}

/// A number that may be absent, which is not the same as 0.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Int64Value {
    #[prost(int64, tag = "1")]
    pub value: i64,
}

/// Likewise, of what cannot be negative.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct UInt64Value {
    #[prost(uint64, tag = "1")]
    pub value: u64,
}
