//! The service `grpc.health.v1.Health`: as `/livez` is for HTTP.
//!
//! As in etcd there is one service to be asked for, whose name is empty: the server.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tonic::{Request, Response, Status};

use super::pb::health::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_server::Health,
};
use super::{Server, checks};

/// How often a client that watches is looked at the server for.
const PERIOD: Duration = Duration::from_secs(1);

impl Server {
    fn serving_status(&self, service: &str) -> ServingStatus {
        match checks::check(&self.condition(), "/livez", "") {
            _ if !service.is_empty() => ServingStatus::ServiceUnknown,
            Ok(_) => ServingStatus::Serving,
            Err(_) => ServingStatus::NotServing,
        }
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

#[tonic::async_trait]
impl Health for Server {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match self.serving_status(&request.into_inner().service) {
            ServingStatus::ServiceUnknown => Err(Status::not_found("unknown service")),
            status => Ok(Response::new(response(status))),
        }
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let state = (self.clone(), tokio::time::interval(PERIOD), None);
        // Told at once, and whenever it is another.
        let changes = stream::unfold(state, move |(server, mut interval, before)| {
            let service = service.clone();
            async move {
                loop {
                    interval.tick().await;
                    let status = server.serving_status(&service);
                    if before != Some(status) {
                        return Some((Ok(response(status)), (server, interval, Some(status))));
                    }
                }
            }
        });
        Ok(Response::new(changes.boxed()))
    }
}
