//! Flow control both ways, and the end of streams.

use super::Connection;
use crate::Service;
use crate::frame::{self, Head, Reason, flag, kind, setting};
use crate::stream::Receive;

/// Bytes that all calls of a connection may have sent without being answered.
pub(super) const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// What a window is before anything is said of it.
pub(super) const WINDOW_DEFAULT: u32 = 65_535;

/// Window that was used is given back when it is this much.
const WINDOW_STEP: u32 = 1024 * 1024;

impl<S: Service> Connection<S> {
    pub(super) fn settings(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        if head.stream != 0 {
            return Err(Reason::Protocol);
        }
        if head.flags & flag::ACK != 0 {
            return Ok(());
        }
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(Reason::FrameSize);
        }
        for &[n0, n1, v0, v1, v2, v3] in settings {
            let value = u32::from_be_bytes([v0, v1, v2, v3]);
            match u16::from_be_bytes([n0, n1]) {
                setting::HEADER_TABLE_SIZE => self.sending.heads.limit(value),
                setting::INITIAL_WINDOW_SIZE => {
                    let change = self.sending.set_stream_window(value)?;
                    for stream in self.streams.values_mut() {
                        stream.window += change;
                    }
                }
                setting::MAX_FRAME_SIZE => self.sending.set_payload_max(value)?,
                _ => {}
            }
        }
        frame::put(&mut self.sending.out, kind::SETTINGS, flag::ACK, 0, &[]);
        self.send_waiting();
        Ok(())
    }

    pub(super) fn window_update(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        let bytes: [u8; 4] = payload.try_into().map_err(|_| Reason::FrameSize)?;
        let bytes = i64::from(u32::from_be_bytes(bytes) & 0x7fff_ffff);
        let window = if head.stream == 0 {
            &mut self.sending.window
        } else {
            match self.streams.get_mut(&head.stream) {
                Some(stream) => &mut stream.window,
                None => return Ok(()),
            }
        };
        *window += bytes;
        if bytes == 0 || *window > i64::from(i32::MAX) {
            return Err(Reason::FlowControl);
        }
        self.send_waiting();
        Ok(())
    }

    /// Bytes of a passed-on request's body were taken: the stream may send as many anew.
    pub(crate) fn taken(&mut self, id: u32, bytes: u32) {
        if bytes == 0 {
            return;
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.held = stream.held.saturating_sub(bytes);
            stream.taken += bytes;
            self.used += bytes;
            if stream.taken >= WINDOW_DEFAULT / 2
                && matches!(stream.receive, Receive::Body(Some(_)))
            {
                frame::put_window_update(&mut self.sending.out, id, stream.taken);
                stream.taken = 0;
            }
        }
    }

    /// Lets the peer send as much as was used, if that is worth a frame.
    pub(crate) fn give_back(&mut self) {
        if self.used >= WINDOW_STEP {
            frame::put_window_update(&mut self.sending.out, 0, self.used);
            self.window += i64::from(self.used);
            self.used = 0;
        }
    }

    pub(super) fn reset(&mut self, head: Head, payload: &[u8]) -> Result<(), Reason> {
        if payload.len() != 4 {
            return Err(Reason::FrameSize);
        }
        if head.stream == 0 || head.stream > self.newest {
            return Err(Reason::Protocol);
        }
        let Some(stream) = self.streams.get_mut(&head.stream) else {
            return Ok(());
        };
        let is_called = stream.end.is_none() && matches!(stream.receive, Receive::Nothing);
        if let Some((_, task)) = &stream.producer {
            // It says when it has ended; until then it counts.
            task.abort();
            stream.gone = true;
            stream.receive = Receive::Nothing;
        } else if is_called {
            stream.gone = true;
        } else {
            self.close(head.stream);
        }
        Ok(())
    }

    /// Forgets a stream, and gives back what it held of the window.
    pub(crate) fn close(&mut self, id: u32) {
        if let Some(stream) = self.streams.remove(&id) {
            self.used += stream.held;
            // An answer before the whole request was there: the rest of it is not wanted.
            let is_heard = matches!(stream.receive, Receive::Nothing | Receive::Body(None));
            if !is_heard && !stream.gone && stream.end.is_some() {
                frame::put_reset(&mut self.sending.out, id, Reason::NoError);
            }
            if let Some((_, task)) = stream.producer {
                task.abort();
            }
        }
    }
}
