//! SPDY/3.1 frames, as much of them as `kubectl` needs: streams with headers, both ways.
//!
//! The kubelet is the server here for `kubectl`, and the client of a CRI runtime that streams.
//!
//! ```text
//! control frame   1|version 15|type 16 | flags 8|length 24 | …
//! data frame      0|stream 31          | flags 8|length 24 | bytes
//! ```
//!
//! Names and values of headers are compressed with zlib over the whole connection, beginning with
//! a dictionary that both sides know. There is no flow control: upstream's library
//! (`moby/spdystream`) neither sends nor heeds window updates.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::LazyLock;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::outbox::{Out, Outbox, Sink, outbox};

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const FLAG_FIN: u8 = 1;
/// `CANCEL` of RST_STREAM.
const STATUS_CANCEL: u32 = 5;

/// The largest frame a client may send.
const FRAME_LIMIT: usize = 1 << 20;
/// The largest block of headers, once unpacked.
const HEADERS_LIMIT: usize = 64 << 10;
/// Most streams at a time.
const STREAMS_LIMIT: usize = 1024;
/// Pieces of a stream that may wait for whoever reads it.
const INBOX: usize = 16;

/// Words that headers are made of: the first part of the dictionary has each with its length.
const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding \
    accept-language accept-ranges age allow authorization cache-control connection content-base \
    content-encoding content-language content-length content-location content-md5 content-range \
    content-type date etag expect expires from host if-match if-modified-since if-none-match \
    if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate \
    proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
    user-agent vary via warning www-authenticate method get status";
/// The rest of the words, which may have spaces.
const MORE_WORDS: [&str; 8] = [
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
    "origin",
];
/// The dictionary's end, without lengths.
const TEXT: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415\
    416417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad \
    Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not \
    Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 \
    Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,\
    application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,\
    deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

/// The dictionary of the specification (draft 3.1, section 2.6.10.1).
static DICTIONARY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut dictionary = Vec::new();
    for word in WORDS.split_whitespace().chain(MORE_WORDS) {
        dictionary.put_u32(word.len() as u32);
        dictionary.put_slice(word.as_bytes());
    }
    dictionary.put_slice(TEXT.as_bytes());
    dictionary
});

/// Headers of a stream, names in lower case.
pub type Headers = BTreeMap<String, String>;

/// A stream that the client opened, as either side has it.
#[derive(Debug)]
pub struct Stream {
    /// What the client says it is for.
    pub headers: Headers,
    /// Bytes from the other side; ends when it has no more.
    pub inbox: mpsc::Receiver<Bytes>,
    /// Bytes for the other side.
    pub sink: Sink,
}

/// Speaks SPDY on a connection; what the client opens comes out. Streams end when it is gone.
pub fn serve<IO>(io: IO) -> (mpsc::Receiver<Stream>, Outbox)
where
    IO: AsyncRead + AsyncWrite + Send + 'static,
{
    let (read, write) = tokio::io::split(io);
    let (opened, streams) = mpsc::channel(16);
    let (out, pieces) = outbox();
    tokio::spawn(write_frames(write, pieces));
    tokio::spawn(read_until_closed(read, out.clone(), opened, HashMap::new()));
    (streams, out)
}

/// Speaks SPDY on a connection as the client, and opens streams with these headers. Data may be
/// sent at once: it comes after the opening. Streams end when the other side is gone.
pub async fn open<IO>(io: IO, wanted: Vec<Headers>) -> io::Result<(Vec<Stream>, Outbox)>
where
    IO: AsyncRead + AsyncWrite + Send + 'static,
{
    let (read, mut write) = tokio::io::split(io);
    let (out, pieces) = outbox();
    let mut encoder = HeaderEncoder::new();
    let mut inboxes = HashMap::new();
    let mut streams = Vec::new();
    // A client's streams have odd numbers.
    for (id, headers) in (1..).step_by(2).zip(wanted) {
        let mut body = u32::to_be_bytes(id).to_vec();
        // No associated stream, the highest priority.
        body.extend([0; 6]);
        body.extend(encoder.encode(&headers));
        write.write_all(&control_frame(SYN_STREAM, &body)).await?;
        let (sender, inbox) = mpsc::channel(INBOX);
        inboxes.insert(id, sender);
        let sink = Sink::new(id, out.clone());
        streams.push(Stream {
            headers,
            inbox,
            sink,
        });
    }
    write.flush().await?;
    // The server opens none.
    let (opened, _) = mpsc::channel(1);
    tokio::spawn(write_frames(write, pieces));
    tokio::spawn(read_until_closed(read, out.clone(), opened, inboxes));
    Ok((streams, out))
}

/// Reads frames until either side closes the connection.
async fn read_until_closed<R: AsyncRead>(
    read: R,
    out: Outbox,
    opened: mpsc::Sender<Stream>,
    inboxes: Inboxes,
) {
    let reading = read_frames(read, &out, &opened, inboxes);
    let result = tokio::select! {
        result = reading => result,
        () = out.closed() => Ok(()),
    };
    if let Err(error) = result {
        tracing::debug!(%error, "SPDY");
    }
}

/// Where the bytes of each stream go.
type Inboxes = HashMap<u32, mpsc::Sender<Bytes>>;

async fn write_frames<W: AsyncWrite>(write: W, mut pieces: mpsc::Receiver<Out>) {
    let mut write = std::pin::pin!(write);
    let mut headers = HeaderEncoder::new();
    while let Some(piece) = pieces.recv().await {
        let frame = match piece {
            Out::Data(id, bytes) => data_frame(id, 0, &bytes),
            Out::Finish(id) => data_frame(id, FLAG_FIN, &[]),
            Out::Accept(id) => {
                let mut body = id.to_be_bytes().to_vec();
                body.extend(headers.encode(&Headers::new()));
                control_frame(SYN_REPLY, &body)
            }
            Out::Reset(id) => {
                let mut body = id.to_be_bytes().to_vec();
                body.extend(STATUS_CANCEL.to_be_bytes());
                control_frame(RST_STREAM, &body)
            }
            Out::Pong(id) => control_frame(PING, &id),
            Out::End => break,
        };
        if write.write_all(&frame).await.is_err() || write.flush().await.is_err() {
            return;
        }
    }
    let _client_gone = write.shutdown().await;
}

fn control_frame(type_: u16, body: &[u8]) -> BytesMut {
    let mut frame = BytesMut::with_capacity(8 + body.len());
    frame.put_u16(0x8003);
    frame.put_u16(type_);
    frame.put_u32(body.len() as u32);
    frame.put_slice(body);
    frame
}

fn data_frame(id: u32, flags: u8, bytes: &[u8]) -> BytesMut {
    let mut frame = BytesMut::with_capacity(8 + bytes.len());
    frame.put_u32(id & 0x7fff_ffff);
    frame.put_u32(u32::from(flags) << 24 | bytes.len() as u32);
    frame.put_slice(bytes);
    frame
}

/// Reads frames until the other side is gone.
async fn read_frames<R: AsyncRead>(
    read: R,
    out: &Outbox,
    opened: &mpsc::Sender<Stream>,
    mut inboxes: Inboxes,
) -> io::Result<()> {
    let mut read = std::pin::pin!(read);
    let mut decoder = HeaderDecoder::new();
    loop {
        let mut head = [0; 8];
        match read.read_exact(&mut head).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        };
        let first = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let second = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let (flags, length) = ((second >> 24) as u8, (second & 0xff_ffff) as usize);
        if length > FRAME_LIMIT {
            return Err(malformed("frame too large"));
        }
        let mut body = vec![0; length];
        read.read_exact(&mut body).await?;
        let body = Bytes::from(body);

        if first & 0x8000_0000 == 0 {
            if let Some(inbox) = inboxes.get(&first) {
                // Whoever reads it may have lost interest; the rest of it is dropped.
                let _reader_gone = if body.is_empty() {
                    Ok(())
                } else {
                    inbox.send(body).await
                };
            }
            if flags & FLAG_FIN != 0 {
                inboxes.remove(&first);
            }
            continue;
        }
        match (first & 0xffff) as u16 {
            SYN_STREAM => {
                let (id, headers) = decoder.syn_stream(body)?;
                inboxes.retain(|_, inbox| !inbox.is_closed());
                if inboxes.len() >= STREAMS_LIMIT {
                    let _client_gone = out.send(Out::Reset(id)).await;
                    continue;
                }
                let (sender, inbox) = mpsc::channel(INBOX);
                if flags & FLAG_FIN == 0 {
                    inboxes.insert(id, sender);
                }
                let _client_gone = out.send(Out::Accept(id)).await;
                let stream = Stream {
                    headers,
                    inbox,
                    sink: Sink::new(id, out.clone()),
                };
                if opened.send(stream).await.is_err() {
                    return Ok(());
                }
            }
            RST_STREAM if body.len() >= 4 => {
                inboxes.remove(&u32::from_be_bytes([body[0], body[1], body[2], body[3]]));
            }
            PING => {
                let _client_gone = out.send(Out::Pong(body)).await;
            }
            GOAWAY => return Ok(()),
            // Settings, priorities and windows change nothing here.
            _ => {}
        }
    }
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

struct HeaderDecoder {
    zlib: Decompress,
}

impl HeaderDecoder {
    fn new() -> HeaderDecoder {
        HeaderDecoder {
            zlib: Decompress::new(true),
        }
    }

    fn syn_stream(&mut self, mut body: Bytes) -> io::Result<(u32, Headers)> {
        if body.len() < 10 {
            return Err(malformed("short SYN_STREAM"));
        }
        let id = body.get_u32() & 0x7fff_ffff;
        // The associated stream and the priority.
        body.advance(6);
        Ok((id, self.decode(&body)?))
    }

    fn decode(&mut self, packed: &[u8]) -> io::Result<Headers> {
        let mut plain = Bytes::from(self.unpack(packed)?);
        let take = |plain: &mut Bytes| -> io::Result<String> {
            let length = checked_u32(plain)? as usize;
            if plain.len() < length {
                return Err(malformed("short headers"));
            }
            Ok(String::from_utf8_lossy(&plain.split_to(length)).into_owned())
        };
        let count = checked_u32(&mut plain)?;
        let mut headers = Headers::new();
        for _ in 0..count {
            let name = take(&mut plain)?.to_ascii_lowercase();
            let value = take(&mut plain)?;
            headers.insert(name, value);
        }
        Ok(headers)
    }

    fn unpack(&mut self, packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::with_capacity(1024);
        let start = self.zlib.total_in();
        loop {
            let read = (self.zlib.total_in() - start) as usize;
            let before = plain.len();
            let done = self
                .zlib
                .decompress_vec(&packed[read..], &mut plain, FlushDecompress::Sync);
            match done {
                Ok(Status::StreamEnd) => return Ok(plain),
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    let set = self.zlib.set_dictionary(&DICTIONARY);
                    set.map_err(|_| malformed("unknown dictionary"))?;
                    continue;
                }
                Err(_) => return Err(malformed("headers are not zlib")),
            }
            if plain.len() > HEADERS_LIMIT {
                return Err(malformed("headers too large"));
            }
            let read_all = (self.zlib.total_in() - start) as usize == packed.len();
            if read_all && plain.len() < plain.capacity() {
                return Ok(plain);
            }
            if plain.len() == before && plain.len() < plain.capacity() && !read_all {
                return Err(malformed("headers do not end"));
            }
            if plain.len() == plain.capacity() {
                plain.reserve(plain.capacity());
            }
        }
    }
}

fn checked_u32(bytes: &mut Bytes) -> io::Result<u32> {
    if bytes.len() < 4 {
        return Err(malformed("short headers"));
    }
    Ok(bytes.get_u32())
}

struct HeaderEncoder {
    zlib: Compress,
}

impl HeaderEncoder {
    fn new() -> HeaderEncoder {
        let mut zlib = Compress::new(Compression::fast(), true);
        zlib.set_dictionary(&DICTIONARY)
            .expect("nothing was compressed yet");
        HeaderEncoder { zlib }
    }

    fn encode(&mut self, headers: &Headers) -> Vec<u8> {
        let mut plain = Vec::new();
        plain.put_u32(headers.len() as u32);
        for (name, value) in headers {
            for text in [name, value] {
                plain.put_u32(text.len() as u32);
                plain.put_slice(text.as_bytes());
            }
        }
        // Room for what zlib may add at worst, so that one call is enough.
        let mut packed = Vec::with_capacity(plain.len() + plain.len() / 8 + 256);
        self.zlib
            .compress_vec(&plain, &mut packed, FlushCompress::Sync)
            .expect("there is room for all of it");
        packed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_dictionary_is_the_specification_s() {
        assert_eq!(DICTIONARY.len(), 1423);
        // Its Adler-32, by which zlib knows a dictionary.
        let mut zlib = Compress::new(Compression::fast(), true);
        assert_eq!(zlib.set_dictionary(&DICTIONARY).unwrap(), 0xe3c6_a7c2);
    }

    #[test]
    fn headers_of_one_connection_share_their_compression() {
        let (mut encoder, mut decoder) = (HeaderEncoder::new(), HeaderDecoder::new());
        for id in 0..3 {
            let mut headers = Headers::new();
            headers.insert("streamtype".into(), "data".into());
            headers.insert("requestid".into(), id.to_string());
            let packed = encoder.encode(&headers);
            assert_eq!(decoder.decode(&packed).unwrap(), headers);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _malformed = HeaderDecoder::new().decode(&bytes);
            let mut encoder = HeaderEncoder::new();
            let mut packed = encoder.encode(&Headers::new());
            packed.extend(&bytes);
            let _malformed = HeaderDecoder::new().decode(&packed);
        }
    }

    #[tokio::test]
    async fn a_stream_goes_both_ways() {
        let (near, far) = tokio::io::duplex(4096);
        let (mut streams, _out) = serve(far);
        let (mut read, mut write) = tokio::io::split(near);
        let mut body = vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let headers = Headers::from([("streamtype".to_owned(), "data".to_owned())]);
        body.extend(HeaderEncoder::new().encode(&headers));
        write
            .write_all(&control_frame(SYN_STREAM, &body))
            .await
            .unwrap();
        write
            .write_all(&data_frame(1, FLAG_FIN, b"in"))
            .await
            .unwrap();
        let mut stream = streams.recv().await.unwrap();
        assert_eq!(stream.headers, headers);
        assert_eq!(stream.inbox.recv().await.unwrap(), "in");
        assert_eq!(stream.inbox.recv().await, None);

        stream.sink.send(Bytes::from_static(b"out")).await;
        let mut head = [0; 8];
        read.read_exact(&mut head).await.unwrap();
        assert_eq!(head[..4], [0x80, 3, 0, 2]);
        let mut reply = vec![0; head[7] as usize];
        read.read_exact(&mut reply).await.unwrap();
        let mut data = [0; 11];
        read.read_exact(&mut data).await.unwrap();
        assert_eq!(&data, b"\0\0\0\x01\0\0\0\x03out");
    }

    #[tokio::test]
    async fn client_and_server_understand_each_other() {
        let (near, far) = tokio::io::duplex(4096);
        let (mut served, _out) = serve(far);
        let name = |n: u8| Headers::from([("streamtype".to_owned(), n.to_string())]);
        let (mut streams, _out) = open(near, vec![name(0), name(1)]).await.unwrap();
        for (n, stream) in streams.iter_mut().enumerate() {
            stream.sink.send(Bytes::from_static(b"there")).await;
            stream.sink.finish().await;
            let mut seen = served.recv().await.unwrap();
            assert_eq!(seen.headers, name(n as u8));
            assert_eq!(seen.inbox.recv().await.unwrap(), "there");
            assert_eq!(seen.inbox.recv().await, None);
            seen.sink.send(Bytes::from_static(b"back")).await;
            seen.sink.finish().await;
            assert_eq!(stream.inbox.recv().await.unwrap(), "back");
            assert_eq!(stream.inbox.recv().await, None);
        }
    }
}
