//! gRPC's health check, by hand: one unary call, a five-byte frame and a message of one field each
//! way.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::GRPCAction;
use tokio::net::TcpStream;

use super::check::{Target, dial_error, join};

/// Most that is read of an answer.
const BODY_LIMIT: usize = 10 << 10;

/// Asks `grpc.health.v1.Health/Check`: fine if it answers `SERVING`.
///
/// # Errors
/// When it answers something else, or not at all.
pub async fn check(target: &Target, action: &GRPCAction) -> Result<(), String> {
    let address = join(&target.pod_ip, u16::try_from(action.port).unwrap_or(0));
    let failed = |error: String| format!("error: {error}");
    let stream = TcpStream::connect(&address).await;
    let stream = stream.map_err(|error| {
        format!(
            "timeout: failed to connect service \"{address}\": {}",
            dial_error(&address, &error)
        )
    })?;
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| failed(error.to_string()))?;
    let connection = tokio::spawn(connection);
    let service = action.service.clone().unwrap_or_default();
    let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(health_check_request(&service)))
        .map_err(|error| failed(error.to_string()))?;
    let result = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(|e| failed(e.to_string()))?;
        let body = Limited::new(answer.into_body(), BODY_LIMIT).collect().await;
        let body = body.map_err(|error| failed(error.to_string()))?.to_bytes();
        if serves(&body) {
            Ok(())
        } else {
            Err("service unhealthy (responded with \"NOT_SERVING\")".to_owned())
        }
    };
    let result = result.await;
    connection.abort();
    result
}

fn health_check_request(service: &str) -> Bytes {
    let mut message = Vec::new();
    // Field 1, a string; service names are short, so one byte of length is enough.
    if !service.is_empty() {
        let service = &service.as_bytes()[..service.len().min(127)];
        message.extend([0x0a, service.len() as u8]);
        message.extend(service);
    }
    let mut frame = vec![0, 0, 0, 0, message.len() as u8];
    frame.extend(message);
    Bytes::from(frame)
}

/// Whether a `HealthCheckResponse` says `SERVING`: field 1, an enum, is 1.
fn serves(frame: &[u8]) -> bool {
    frame.get(5..7) == Some(&[0x08, 0x01])
}
