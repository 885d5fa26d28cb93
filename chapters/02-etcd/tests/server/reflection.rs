//! The services about services: which there are, and how they are.

use crate::ANY_PORT;
use crate::process::Server;

/// The names of the services that `ask` is told of by one version of reflection.
macro_rules! services_by {
    ($version:ident, $channel:expr) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let ask = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut client = ServerReflectionClient::new($channel);
        let asked = client.server_reflection_info(tokio_stream::once(ask));
        let answer = asked.await.unwrap().into_inner().message().await.unwrap();
        match answer.unwrap().message_response {
            Some(MessageResponse::ListServicesResponse(list)) => {
                let names = list.service.into_iter().map(|service| service.name);
                names.collect::<std::collections::BTreeSet<String>>()
            }
            other => panic!("{other:?}"),
        }
    }};
}

#[tokio::test]
async fn clients_ask_what_there_is_and_how_it_is() {
    use etcd::grpc::pb::health::{HealthCheckRequest, HealthCheckResponse};
    use tonic::Request;

    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--listen-client-urls", ANY_PORT]);
    let endpoint = tonic::transport::Endpoint::from_shared(server.urls[0].clone()).unwrap();
    let channel = endpoint.connect().await.unwrap();

    let ask = |service: &str| {
        Request::new(HealthCheckRequest {
            service: service.to_owned(),
        })
    };
    let mut client = tonic::client::Grpc::new(channel.clone());
    let path = http::uri::PathAndQuery::from_static;
    let check = || path("/grpc.health.v1.Health/Check");
    let watch = || path("/grpc.health.v1.Health/Watch");
    let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default;
    client.ready().await.unwrap();
    let answer = client.unary(ask(""), check(), codec()).await.unwrap();
    assert_eq!(answer.into_inner().status().as_str_name(), "SERVING");
    client.ready().await.unwrap();
    let refused = client
        .unary(ask("other"), check(), codec())
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (tonic::Code::NotFound, "unknown service")
    );
    for (service, expect) in [("", "SERVING"), ("other", "SERVICE_UNKNOWN")] {
        client.ready().await.unwrap();
        let answers = client
            .server_streaming(ask(service), watch(), codec())
            .await;
        let first = answers.unwrap().into_inner().message().await.unwrap();
        assert_eq!(first.unwrap().status().as_str_name(), expect);
    }

    let services = services_by!(v1, channel.clone());
    for name in [
        "etcdserverpb.KV",
        "etcdserverpb.Watch",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ] {
        assert!(services.contains(name), "{name} of {services:?}");
    }
    assert_eq!(services_by!(v1alpha, channel), services);
}
