//! How long a request may take.
//!
//! ```text
//!               the answer begins          the answer ends
//! get, create…  ├──────────────── limit ──────────────┤
//! watch         ├─ limit ─┤├── its timeoutSeconds + limit ──┤
//! logs -f, exec ├─ limit ─┤  as long as it likes
//! ```
//!
//! The API server ends a request of the first kind after 60 seconds by itself, and a watch after as
//! long as the client asked for. Whoever waits longer has nobody at the other end: a server that
//! was stopped, or a connection that leads nowhere and does not say so. The component tries again,
//! on a new connection.
//!
//! Upstream's clients find this out otherwise: HTTP/2 lets them ping a server that has been silent
//! for 30 seconds, and give the connection up after 15 more. Here it is HTTP/1.1, which has no
//! pings. Upstream: `k8s.io/apimachinery/pkg/util/net/http.go: configureHTTP2Transport`; the server's
//! `--request-timeout`, `--min-request-timeout`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tower::{BoxError, Layer, Service};

/// How long a request may take: the server's own 60 seconds, and a little for its answer to come.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(65);

/// A request took too long.
#[derive(Debug, thiserror::Error)]
#[error("the API server did not answer within {0:?}")]
pub struct TookTooLong(pub Duration);

/// Gives every request of a client that limit.
#[derive(Debug, Clone, Copy)]
pub struct Limits(pub Duration);

impl<S> Layer<S> for Limits {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited {
            inner,
            limit: self.0,
        }
    }
}

/// A client whose requests have a limit.
#[derive(Debug, Clone)]
pub struct Limited<S> {
    inner: S,
    limit: Duration,
}

impl<S, A, B> Service<Request<A>> for Limited<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Response = Response<Answer<B>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let limit = self.limit;
        let asked = Instant::now();
        let whole = whole(&request, limit);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = timeout_at(asked + limit, answer).await;
            let answer = answer.map_err(|_| TookTooLong(limit))?;
            Ok(answer.map_err(Into::into)?.map(|body| Answer {
                body,
                limit,
                deadline: whole.map(|whole| Box::pin(sleep_until(asked + whole))),
            }))
        })
    }
}

/// How long the whole answer may take; `None`: it has no end that is known before.
fn whole<A>(request: &Request<A>, limit: Duration) -> Option<Duration> {
    if request.headers().contains_key(http::header::UPGRADE) {
        return None;
    }
    let query = request.uri().query().unwrap_or_default();
    let parameter = |name: &str| {
        let mut parameters = query.split('&').filter_map(|pair| pair.split_once('='));
        parameters.find_map(|(key, value)| (key == name).then_some(value))
    };
    let is_set = |name: &str| matches!(parameter(name), Some("true" | "1"));
    if is_set("watch") {
        // Without a number, or with 0, the server chooses.
        let seconds = parameter("timeoutSeconds")?.parse().ok();
        let seconds = seconds.filter(|seconds| *seconds > 0)?;
        return Some(Duration::from_secs(seconds) + limit);
    }
    (!is_set("follow")).then_some(limit)
}

/// An answer that has to end in time.
pub struct Answer<B> {
    body: B,
    limit: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<B> Body for Answer<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        match &mut self.deadline {
            Some(deadline) => {
                std::task::ready!(deadline.as_mut().poll(context));
                // A body that has failed is not asked again.
                self.deadline = None;
                Poll::Ready(Some(Err(TookTooLong(self.limit).into())))
            }
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_take_how_long() {
        let limit = Duration::from_secs(10);
        let of = |uri: &str| {
            let request = Request::get(format!("https://server{uri}"))
                .body(())
                .unwrap();
            whole(&request, limit).map(|whole| whole.as_secs())
        };
        assert_eq!(of("/api/v1/pods"), Some(10));
        assert_eq!(of("/api/v1/pods?limit=500"), Some(10));
        assert_eq!(of("/api/v1/pods?watch=true&timeoutSeconds=290"), Some(300));
        assert_eq!(of("/api/v1/pods?watch=1"), None);
        assert_eq!(of("/api/v1/pods?watch=1&timeoutSeconds=0"), None);
        assert_eq!(of("/api/v1/namespaces/a/pods/b/log?follow=true"), None);
        assert_eq!(of("/api/v1/namespaces/a/pods/b/log"), Some(10));
        let exec = Request::get("/exec").header("upgrade", "websocket");
        assert_eq!(whole(&exec.body(()).unwrap(), limit), None);
    }
}
