//! The calls as JSON over HTTP/1: a POST to `/v3/kv/put` for `KV.Put`.
//!
//! The fields are those of the messages; bytes are in base64, and numbers of 64 bits are texts, as
//! JavaScript has no such numbers. A call that is a stream answers one line for each message, as
//! they come; its requests are read to the end of the body first.
//!
//! ```console
//! $ curl http://127.0.0.1:2379/v3/kv/put -d '{"key":"YQ==","value":"Yg=="}'
//! {"header":{"cluster_id":"1","member_id":"1","revision":"2","raft_term":"1"}}
//! ```
//!
//! Upstream: grpc-gateway, by the `google.api.http` options of `api/etcdserverpb/rpc.proto`.

use bytes::{Buf, Bytes, BytesMut};
use futures::stream;
use grpc::Service as _;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, MethodDescriptor,
    SerializeOptions,
};
use serde_json::json;
use tonic::body::Body;
use tonic::{Code, Status};

use super::calls::Calls;
use super::pb;

/// What each path below `/v3/` calls.
#[rustfmt::skip]
const PATHS: &[(&str, &str, &str)] = &[
    ("kv/range", "KV", "Range"),
    ("kv/put", "KV", "Put"),
    ("kv/deleterange", "KV", "DeleteRange"),
    ("kv/txn", "KV", "Txn"),
    ("kv/compaction", "KV", "Compact"),
    ("watch", "Watch", "Watch"),
    ("lease/grant", "Lease", "LeaseGrant"),
    ("lease/revoke", "Lease", "LeaseRevoke"),
    ("kv/lease/revoke", "Lease", "LeaseRevoke"),
    ("lease/keepalive", "Lease", "LeaseKeepAlive"),
    ("lease/timetolive", "Lease", "LeaseTimeToLive"),
    ("kv/lease/timetolive", "Lease", "LeaseTimeToLive"),
    ("lease/leases", "Lease", "LeaseLeases"),
    ("kv/lease/leases", "Lease", "LeaseLeases"),
    ("cluster/member/add", "Cluster", "MemberAdd"),
    ("cluster/member/remove", "Cluster", "MemberRemove"),
    ("cluster/member/update", "Cluster", "MemberUpdate"),
    ("cluster/member/list", "Cluster", "MemberList"),
    ("cluster/member/promote", "Cluster", "MemberPromote"),
    ("maintenance/alarm", "Maintenance", "Alarm"),
    ("maintenance/status", "Maintenance", "Status"),
    ("maintenance/defragment", "Maintenance", "Defragment"),
    ("maintenance/hash", "Maintenance", "Hash"),
    ("maintenance/hashkv", "Maintenance", "HashKV"),
    ("maintenance/snapshot", "Maintenance", "Snapshot"),
    ("maintenance/transfer-leadership", "Maintenance", "MoveLeader"),
    ("maintenance/downgrade", "Maintenance", "Downgrade"),
    ("auth/enable", "Auth", "AuthEnable"),
    ("auth/disable", "Auth", "AuthDisable"),
    ("auth/status", "Auth", "AuthStatus"),
    ("auth/authenticate", "Auth", "Authenticate"),
    ("auth/user/add", "Auth", "UserAdd"),
    ("auth/user/get", "Auth", "UserGet"),
    ("auth/user/list", "Auth", "UserList"),
    ("auth/user/delete", "Auth", "UserDelete"),
    ("auth/user/changepw", "Auth", "UserChangePassword"),
    ("auth/user/grant", "Auth", "UserGrantRole"),
    ("auth/user/revoke", "Auth", "UserRevokeRole"),
    ("auth/role/add", "Auth", "RoleAdd"),
    ("auth/role/get", "Auth", "RoleGet"),
    ("auth/role/list", "Auth", "RoleList"),
    ("auth/role/delete", "Auth", "RoleDelete"),
    ("auth/role/grant", "Auth", "RoleGrantPermission"),
    ("auth/role/revoke", "Auth", "RoleRevokePermission"),
];

/// Bytes of a message's prefix in a stream of gRPC.
const PREFIX_BYTES: usize = 5;

/// Turns requests of HTTP/1 into calls.
#[derive(Clone)]
pub struct Gateway {
    calls: Calls,
    messages: DescriptorPool,
}

impl Gateway {
    /// A gateway to `calls`.
    pub fn new(calls: Calls) -> Self {
        let messages = DescriptorPool::decode(pb::DESCRIPTORS[0]);
        Self {
            calls,
            messages: messages.expect("the compiler wrote it"),
        }
    }

    fn method(&self, path: &str) -> Option<MethodDescriptor> {
        let path = path.strip_prefix("/v3/")?;
        let (_, service, method) = PATHS.iter().find(|(known, ..)| *known == path)?;
        let service = format!("etcdserverpb.{service}");
        let service = self.messages.get_service_by_name(&service)?;
        service.methods().find(|found| found.name() == *method)
    }

    /// Answers a request of a path that begins with `/v3/`.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Some(method) = self.method(request.uri().path()) else {
            return failure(&Status::not_found("Not Found"));
        };
        if request.method() != Method::POST {
            return failure(&Status::unimplemented("Method Not Allowed"));
        }
        // Base64 takes four letters for three bytes.
        let body = Limited::new(request.into_body(), self.calls.message_bytes_max() * 2);
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return failure(&Status::invalid_argument(error.to_string())),
        };
        let messages = match read(&body, &method.input()) {
            Ok(messages) => messages,
            Err(error) => return failure(&Status::invalid_argument(error.to_string())),
        };
        let answer = self.calls.pass_on(call(&method, messages)).await;
        if method.is_server_streaming() {
            lines(answer, method.output())
        } else {
            match unary(answer, &method.output()).await {
                Ok(text) => page(StatusCode::OK, text),
                Err(status) => failure(&status),
            }
        }
    }
}

/// The messages of a body: one, or any number for a stream. An empty body is an empty message.
fn read(body: &[u8], kind: &MessageDescriptor) -> Result<Vec<DynamicMessage>, serde_json::Error> {
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let mut json = serde_json::Deserializer::from_slice(body);
    let mut messages = Vec::new();
    while json.end().is_err() {
        let one = DynamicMessage::deserialize_with_options(kind.clone(), &mut json, &options)?;
        messages.push(one);
    }
    if messages.is_empty() {
        messages.push(DynamicMessage::new(kind.clone()));
    }
    Ok(messages)
}

fn call(method: &MethodDescriptor, mut messages: Vec<DynamicMessage>) -> Request<Body> {
    if !method.is_client_streaming() {
        messages.truncate(1);
    }
    let mut bytes = Vec::new();
    for message in &messages {
        grpc::put_message(&mut bytes, message);
    }
    // Who watches has said all that there is to say, and yet wants to hear more.
    let is_watch = method.name() == "Watch";
    let frames = stream::unfold(Some(Bytes::from(bytes)), move |bytes| async move {
        match bytes {
            Some(bytes) => Some((Ok::<_, Status>(Frame::data(bytes)), None)),
            None if is_watch => std::future::pending().await,
            None => None,
        }
    });
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    Request::post(path)
        .version(http::Version::HTTP_2)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(Body::new(StreamBody::new(frames)))
        .expect("a path of our own")
}

/// The answer of a call that has one.
async fn unary(answer: Response<Body>, kind: &MessageDescriptor) -> Result<String, Status> {
    let in_headers = Status::from_header_map(answer.headers());
    let body = answer.into_body().collect().await?;
    let in_trailers = body.trailers().and_then(Status::from_header_map);
    if let Some(status) = in_headers.or(in_trailers)
        && status.code() != Code::Ok
    {
        return Err(status);
    }
    let mut bytes = BytesMut::from(body.to_bytes());
    match take(&mut bytes) {
        Some(message) => json(kind, message),
        None => Err(Status::internal("there is no answer")),
    }
}

/// The answers of a stream, a line each; if it fails, the last one says so.
fn lines(answer: Response<Body>, kind: MessageDescriptor) -> Response<Body> {
    if let Some(status) = Status::from_header_map(answer.headers())
        && status.code() != Code::Ok
    {
        return failure(&status);
    }
    let state = Some((answer.into_body(), BytesMut::new()));
    let frames = stream::unfold(state, move |state| {
        let kind = kind.clone();
        async move {
            let (mut body, mut rest) = state?;
            match next_lines(&mut body, &mut rest, &kind).await {
                Ok(Some(text)) => Some((text, Some((body, rest)))),
                Ok(None) => None,
                Err(status) => {
                    let error = json!({ "error": {
                        "grpc_code": status.code() as i32,
                        "http_code": http_status(status.code()).as_u16(),
                        "message": status.message(),
                        "http_status": http_status(status.code()).canonical_reason(),
                    }});
                    Some((format!("{error}\n"), None))
                }
            }
        }
    });
    let frames = futures::StreamExt::map(frames, |text: String| {
        Ok::<_, Status>(Frame::data(Bytes::from(text)))
    });
    let mut response = page(StatusCode::OK, String::new());
    *response.body_mut() = Body::new(StreamBody::new(frames));
    response
}

/// Waits for answers, and has a line for each that came.
async fn next_lines(
    body: &mut Body,
    rest: &mut BytesMut,
    kind: &MessageDescriptor,
) -> Result<Option<String>, Status> {
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        if let Some(status) = frame.trailers_ref().and_then(Status::from_header_map)
            && status.code() != Code::Ok
        {
            return Err(status);
        }
        if let Some(data) = frame.data_ref() {
            rest.extend_from_slice(data);
        }
        let mut text = String::new();
        while let Some(message) = take(rest) {
            text += &format!("{{\"result\":{}}}\n", json(kind, message)?);
        }
        if !text.is_empty() {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

/// Takes the first message off a stream of gRPC, if all of it is there.
fn take(bytes: &mut BytesMut) -> Option<Bytes> {
    let [_, a, b, c, d] = *bytes.first_chunk()?;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if bytes.len() < PREFIX_BYTES + length {
        return None;
    }
    bytes.advance(PREFIX_BYTES);
    Some(bytes.split_to(length).freeze())
}

/// A message as JSON, with its fields in their order.
fn json(kind: &MessageDescriptor, message: Bytes) -> Result<String, Status> {
    let internal = |error: String| Status::internal(error);
    let options = SerializeOptions::new().use_proto_field_name(true);
    let message = DynamicMessage::decode(kind.clone(), message)
        .map_err(|error| internal(error.to_string()))?;
    let mut json = Vec::new();
    message
        .serialize_with_options(&mut serde_json::Serializer::new(&mut json), &options)
        .map_err(|error| internal(error.to_string()))?;
    String::from_utf8(json).map_err(|error| internal(error.to_string()))
}

fn failure(status: &Status) -> Response<Body> {
    let text = json!({ "code": status.code() as i32, "message": status.message() });
    page(http_status(status.code()), text.to_string())
}

fn page(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::from(text)));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// What grpc-gateway makes of a code.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::REQUEST_TIMEOUT,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
