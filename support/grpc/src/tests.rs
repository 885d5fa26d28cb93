//! The connection against what a client can send: in order, in parts, too much, and nonsense.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tonic::body::Body;

use crate::Service;
use crate::connection::Connection;
use crate::frame::{self, Head, PREFACE, Reason, flag, kind};
use crate::hpack::{Decoder, Headers, put_indexed, put_literal};
use crate::outbox::{Contents, Outbox, Reply};

const LIMIT: usize = 100_000;

type Waiting = Vec<(Vec<u8>, Reply)>;

/// Answers `/test/Echo` with its message, when it is told to.
#[derive(Clone, Default)]
struct Echo {
    waiting: Arc<Mutex<Waiting>>,
}

impl Service for Echo {
    fn method(&self, path: &[u8]) -> Option<u16> {
        (path == b"/test/Echo").then_some(7)
    }

    fn call(&self, method: u16, message: &[u8], reply: Reply) {
        assert_eq!(method, 7);
        self.waiting
            .lock()
            .expect("one thread")
            .push((message.to_vec(), reply));
    }

    fn called(&self) {}

    fn pass_on(
        &self,
        _request: http::Request<Body>,
    ) -> impl Future<Output = http::Response<Body>> + Send + 'static {
        std::future::ready(http::Response::new(Body::empty()))
    }

    fn message_bytes_max(&self) -> usize {
        LIMIT
    }
}

/// A server's connection, and what a client that looks at its bytes sees.
struct Client {
    service: Echo,
    outbox: Arc<Outbox>,
    connection: Connection<Echo>,
    decoder: Decoder,
    rest: Vec<u8>,
}

impl Client {
    fn new() -> Self {
        let (service, outbox) = (Echo::default(), Arc::<Outbox>::default());
        let mut client = Self {
            connection: Connection::new(service.clone(), outbox.clone()),
            service,
            outbox,
            decoder: Decoder::default(),
            rest: Vec::new(),
        };
        client.send(PREFACE).expect("it is the preface");
        client
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        self.rest.extend_from_slice(bytes);
        let taken = self.connection.receive(&self.rest)?;
        self.rest.drain(..taken);
        Ok(())
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<(), Reason> {
        let mut bytes = Vec::new();
        frame::put(&mut bytes, kind, flags, stream, payload);
        self.send(&bytes)
    }

    fn call(&mut self, stream: u32) {
        self.frame(
            kind::HEADERS,
            flag::END_HEADERS,
            stream,
            &block("/test/Echo"),
        )
        .expect("a call");
    }

    fn message(&mut self, stream: u32, message: &[u8]) -> Result<(), Reason> {
        let length = (message.len() as u32).to_be_bytes();
        let bytes = [&[0], &length[..], message].concat();
        let mut parts = bytes.chunks(frame::PAYLOAD_MAX).peekable();
        while let Some(part) = parts.next() {
            let flags = if parts.peek().is_none() {
                flag::END_STREAM
            } else {
                0
            };
            self.frame(kind::DATA, flags, stream, part)?;
        }
        Ok(())
    }

    /// Has the service answer, and returns all that the server said since it was last asked.
    fn read(&mut self) -> Vec<String> {
        let waiting = std::mem::take(&mut *self.service.waiting.lock().expect("one thread"));
        for (message, reply) in waiting {
            reply.send(Ok(bytes::Bytes::from(message))).wake();
        }
        self.heard()
    }

    fn heard(&mut self) -> Vec<String> {
        let mut contents = Contents::default();
        self.outbox.take(&mut contents);
        self.connection.send(&mut contents);
        let out = std::mem::take(&mut self.connection.sending.out);
        let mut rest = out.as_slice();
        let mut said = Vec::new();
        while let Some(head) = Head::parse(rest) {
            let payload = &rest[frame::HEAD_BYTES..][..head.length];
            said.push(self.describe(head, payload));
            rest = &rest[frame::HEAD_BYTES + head.length..];
        }
        assert!(rest.is_empty(), "frames are sent whole");
        said
    }

    fn describe(&mut self, head: Head, payload: &[u8]) -> String {
        let number = |at: usize| {
            let bytes = payload[at..at + 4].try_into().expect("four bytes");
            u32::from_be_bytes(bytes)
        };
        let end = if head.flags & flag::END_STREAM != 0 {
            " end"
        } else {
            ""
        };
        let stream = head.stream;
        match head.kind {
            kind::HEADERS => {
                let mut headers = Headers::default();
                self.decoder.decode(payload, &mut headers).expect("headers");
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                let lines = headers
                    .iter()
                    .map(|(name, value)| format!(" {}={}", text(name), text(value)));
                format!(
                    "{stream} headers{}{end} in {}",
                    lines.collect::<String>(),
                    payload.len()
                )
            }
            kind::DATA => format!("{stream} data {}{end}", payload.len()),
            kind::RST_STREAM => format!("{stream} reset {}", number(0)),
            kind::WINDOW_UPDATE => format!("{stream} window {}", number(0)),
            kind::GOAWAY => format!("goaway {}", number(4)),
            kind::PING => "ping".to_owned(),
            kind::SETTINGS if end.is_empty() => "settings".to_owned(),
            kind::SETTINGS => "settings ack".to_owned(),
            other => format!("kind {other}"),
        }
    }
}

fn block(path: &str) -> Vec<u8> {
    // POST, http.
    let mut block = vec![0x83, 0x86];
    put_indexed(&mut block, ":path", path.as_bytes());
    put_literal(&mut block, "te", b"trailers");
    block
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

#[test]
fn a_call_is_answered_and_the_second_one_in_fewer_bytes() {
    let mut client = Client::new();
    assert_eq!(client.read(), ["settings", "0 window 8323073"]);
    for stream in [1, 3] {
        client.call(stream);
        client.message(stream, b"hello").expect("a message");
    }
    let first = ":status=200 content-type=application/grpc";
    let said = [
        format!("1 headers {first} in 32"),
        "1 data 12".to_owned(),
        "1 headers grpc-status=0 end in 15".to_owned(),
        format!("3 headers {first} in 2"),
        "3 data 12".to_owned(),
        "3 headers grpc-status=0 end in 1".to_owned(),
    ];
    assert_eq!(client.read(), said);
    assert!(client.connection.streams.is_empty());
}

#[test]
fn a_client_without_a_header_table_is_told_all_each_time() {
    let mut client = Client::new();
    client
        .frame(kind::SETTINGS, 0, 0, &setting(1, 0))
        .expect("settings");
    for stream in [1, 3] {
        client.call(stream);
        client.message(stream, b"x").expect("a message");
    }
    let said = client.read();
    assert!(
        said[5].starts_with("1 headers grpc-status=0 end"),
        "{said:?}"
    );
    assert!(
        said[6].ends_with("content-type=application/grpc in 32"),
        "{said:?}"
    );
    assert!(
        client.decoder.changes() <= 1,
        "nothing was put into the table"
    );
}

#[test]
fn a_message_comes_in_any_parts() {
    let mut client = Client::new();
    let mut bytes = Vec::new();
    let head = block("/test/Echo");
    let (first, second) = head.split_at(5);
    frame::put(&mut bytes, kind::HEADERS, 0, 1, first);
    frame::put(&mut bytes, kind::CONTINUATION, flag::END_HEADERS, 1, second);
    frame::put(&mut bytes, kind::DATA, 0, 1, &[0, 0, 0]);
    // Padded by two bytes.
    frame::put(
        &mut bytes,
        kind::DATA,
        flag::PADDED,
        1,
        &[2, 0, 3, b'a', 0, 0],
    );
    frame::put(&mut bytes, kind::DATA, flag::END_STREAM, 1, b"bc");
    for byte in bytes {
        client.send(&[byte]).expect("as one");
    }
    let waiting = client.service.waiting.lock().expect("one thread");
    assert_eq!(waiting[0].0, b"abc");
}

#[test]
fn what_does_not_fit_the_window_waits() {
    let mut client = Client::new();
    client
        .frame(kind::SETTINGS, 0, 0, &setting(4, 10))
        .expect("settings");
    client.call(1);
    client.message(1, &[7; 30]).expect("a message");
    assert_eq!(
        client.read()[3..],
        [
            "1 headers :status=200 content-type=application/grpc in 32",
            "1 data 10"
        ]
    );
    client
        .frame(kind::WINDOW_UPDATE, 0, 1, &20_u32.to_be_bytes())
        .expect("a window");
    assert_eq!(client.read(), ["1 data 20"]);
    // Less than nothing: it has to be made up for first.
    client
        .frame(kind::SETTINGS, 0, 0, &setting(4, 0))
        .expect("settings");
    client
        .frame(kind::WINDOW_UPDATE, 0, 1, &12_u32.to_be_bytes())
        .expect("a window");
    assert_eq!(client.read(), ["settings ack", "1 data 2"]);
    client
        .frame(kind::WINDOW_UPDATE, 0, 1, &5_u32.to_be_bytes())
        .expect("a window");
    assert_eq!(
        client.read(),
        ["1 data 5", "1 headers grpc-status=0 end in 15"]
    );
}

#[test]
fn the_connections_window_is_given_back_when_calls_are_answered() {
    let mut client = Client::new();
    client
        .frame(kind::SETTINGS, 0, 0, &setting(4, 1 << 20))
        .expect("settings");
    client
        .frame(kind::WINDOW_UPDATE, 0, 0, &(1_u32 << 21).to_be_bytes())
        .expect("a window");
    let _introduction = client.read();
    for n in 0..12 {
        client.call(2 * n + 1);
        client.message(2 * n + 1, &[0; 90_000]).expect("a message");
    }
    assert!(
        !client
            .heard()
            .iter()
            .any(|said| said.starts_with("0 window")),
        "nothing is answered"
    );
    assert!(client.read().iter().any(|said| said == "0 window 1080060"));
}

#[test]
fn who_sends_more_than_the_window_is_told_to_go() {
    let mut client = Client::new();
    let sent = (0..2000).try_for_each(|n| {
        client.call(2 * n + 1);
        client.message(2 * n + 1, &[0; 90_000])
    });
    assert_eq!(sent, Err(Reason::FlowControl));
}

#[test]
fn a_call_that_was_given_up_counts_until_it_is_done() {
    let mut client = Client::new();
    let _introduction = client.read();
    client.call(1);
    client.message(1, b"slow").expect("a message");
    client
        .frame(kind::RST_STREAM, 0, 1, &8_u32.to_be_bytes())
        .expect("a reset");
    assert_eq!(client.connection.streams.len(), 1);
    assert!(client.read().is_empty(), "nobody wants the answer");
    assert!(client.connection.streams.is_empty());
}

#[test]
fn a_service_that_forgets_a_call_fails_it() {
    let mut client = Client::new();
    let _introduction = client.read();
    client.call(1);
    client.message(1, b"x").expect("a message");
    client.service.waiting.lock().expect("one thread").clear();
    let said = client.read().join("\n");
    assert!(
        said.contains("grpc-status=14") && said.contains("end"),
        "{said}"
    );
}

#[test]
fn too_much_is_refused_in_words() {
    let mut client = Client::new();
    let _introduction = client.read();
    client.call(1);
    client
        .message(1, &vec![0; LIMIT + 1])
        .expect("within the window");
    let said = client.read().join("\n");
    assert!(
        said.contains("grpc-status=8 grpc-message=grpc:%20received"),
        "{said}"
    );
    // Compressed, or more than one message.
    client.call(3);
    client
        .frame(kind::DATA, flag::END_STREAM, 3, &[1, 0, 0, 0, 0])
        .expect("data");
    client.call(5);
    client
        .frame(kind::DATA, flag::END_STREAM, 5, &[0; 10])
        .expect("data");
    client.call(7);
    client
        .frame(kind::DATA, flag::END_STREAM, 7, &[])
        .expect("data");
    let said = client.read();
    assert_eq!(said.len(), 3);
    assert!(
        said.iter().all(|said| said.contains("grpc-status=13")),
        "{said:?}"
    );
}

#[test]
fn a_flood_of_calls_is_refused() {
    let mut client = Client::new();
    let _introduction = client.read();
    for n in 0..10_001 {
        client.call(2 * n + 1);
    }
    assert_eq!(client.heard(), ["20001 reset 7"]);
}

#[test]
fn who_breaks_the_protocol_is_told_to_go() {
    type Break = fn(&mut Client) -> Result<(), Reason>;
    let breaks: [(Reason, Break); 12] = [
        (Reason::Protocol, |client| {
            client.frame(kind::DATA, 0, 1, b"before its headers")
        }),
        (Reason::Protocol, |client| {
            client.frame(kind::HEADERS, flag::END_HEADERS, 2, &block("/"))
        }),
        (Reason::Protocol, |client| {
            client.frame(kind::CONTINUATION, 0, 1, b"")
        }),
        (Reason::Protocol, |client| {
            client.frame(kind::HEADERS, 0, 1, b"")?;
            client.frame(kind::PING, 0, 0, &[0; 8])
        }),
        (Reason::EnhanceYourCalm, |client| {
            client.frame(kind::HEADERS, 0, 1, b"")?;
            (0..10).try_for_each(|_| client.frame(kind::CONTINUATION, 0, 1, &[0; 10_000]))
        }),
        (Reason::Compression, |client| {
            client.frame(
                kind::HEADERS,
                flag::END_HEADERS,
                1,
                &[0xff, 0xff, 0xff, 0xff, 0x7f],
            )
        }),
        // Ten bytes a header, four kilobytes each.
        (Reason::Compression, |client| {
            let mut block = Vec::new();
            put_indexed(&mut block, "bomb", &[b'x'; 4000]);
            block.extend_from_slice(&[0xbe; 1000]);
            client.frame(kind::HEADERS, flag::END_HEADERS, 1, &block)
        }),
        (Reason::FrameSize, |client| {
            client.frame(kind::SETTINGS, 0, 0, &[0; 5])
        }),
        (Reason::FrameSize, |client| {
            client.frame(kind::PING, 0, 0, &[0; 5])
        }),
        (Reason::FrameSize, |client| {
            client.frame(9, 0, 0, &[0; 20_000])
        }),
        (Reason::FlowControl, |client| {
            client.frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255])
        }),
        (Reason::FlowControl, |client| {
            client.frame(kind::SETTINGS, 0, 0, &setting(4, u32::MAX))
        }),
    ];
    for (n, (reason, broken)) in breaks.into_iter().enumerate() {
        let mut client = Client::new();
        assert_eq!(broken(&mut client), Err(reason), "the {n}th");
        assert_eq!(
            client.heard().last(),
            Some(&format!("goaway {}", reason as u32))
        );
    }
    let outbox = Arc::<Outbox>::default();
    let mut connection = Connection::new(Echo::default(), outbox);
    assert_eq!(connection.receive(b"GET / HTTP/1.1"), Err(Reason::Protocol));
}

proptest! {
    /// Whatever frames come, in whatever order, the answer is frames.
    #[test]
    fn any_frames_are_survived(
        frames in prop::collection::vec(
            (0..11_u8, any::<u8>(), 0..8_u32, prop::collection::vec(any::<u8>(), 0..40), any::<bool>()),
            0..40,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let _entered = runtime.enter();
        let mut client = Client::new();
        for (kind, flags, stream, mut payload, is_call) in frames {
            if is_call {
                payload = block("/test/Echo");
            }
            if client.frame(kind, flags, stream, &payload).is_err() {
                break;
            }
            let _frames = client.read();
        }
        let _frames = client.read();
    }
}
