//! How a write is handed to the writer, and who waits for its answer how.

#[cfg(feature = "grpc")]
use std::task::Waker;

use tokio::sync::oneshot;

use super::{Store, closed};
use crate::api::{Alarm, Error};
#[cfg(feature = "grpc")]
use crate::api::{TxnRequest, TxnResponse};
use crate::mvcc::{self, Applied, Command};
use crate::queue::{Answer, Pending};

impl Store {
    /// Has a command written.
    pub(crate) async fn submit(&self, command: Command) -> Result<Applied, Error> {
        let permit = self
            .handle
            .permits
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        self.enqueue(
            command,
            Box::new(move |applied| {
                drop(permit);
                let _gave_up = answer.send(applied);
                None
            }),
        );
        self.flush();
        answered.await.map_err(|_| closed())?
    }

    /// As [`Store::txn`] for who cannot wait: `answer` is given the outcome, now or on another
    /// thread. Writes are begun by the next [`Store::flush`].
    #[cfg(feature = "grpc")]
    pub(crate) fn begin_txn(
        &self,
        request: TxnRequest,
        answer: impl FnOnce(Result<TxnResponse, Error>) -> Option<Waker> + Send + 'static,
    ) {
        if mvcc::is_read_only(&request) {
            let outcome = self.read_txn(&request);
            answer(outcome).into_iter().for_each(Waker::wake);
            return;
        }
        let checked = mvcc::check_txn(&request);
        let command = Command::Txn(request);
        if let Err(error) = checked.and_then(|()| self.check_quota(&command)) {
            answer(Err(error)).into_iter().for_each(Waker::wake);
            return;
        }
        let answer = |applied: Result<Applied, Error>| match applied {
            Ok(Applied::Txn(response)) => answer(Ok(response)),
            Ok(Applied::Done) => unreachable!("a transaction is answered as one"),
            Err(error) => answer(Err(error)),
        };
        self.enqueue(command, Box::new(answer));
    }

    /// Whether there is room for a write. If not, the alarm is raised before it is refused.
    pub(super) fn check_quota(&self, command: &Command) -> Result<(), Error> {
        let Some(quota_bytes) = self.handle.shared.quota_bytes else {
            return Ok(());
        };
        let cost = mvcc::cost(command);
        if cost == 0 || self.stored_bytes() + cost < quota_bytes {
            return Ok(());
        }
        if !self.alarms().contains(&Alarm::NoSpace) {
            tracing::warn!(quota_bytes, "the store has reached its quota");
            let alarm = Pending {
                command: Command::Alarm {
                    alarm: Alarm::NoSpace,
                    is_raised: true,
                },
                answer: None,
            };
            self.handle.shared.queue.push(alarm);
            self.flush();
        }
        Err(Error::NoSpace)
    }

    /// Adds a write to those that wait. They are written at the next [`Store::flush`], so that
    /// who brings many at once has them written with one sync. There is no bound on how many
    /// wait: who calls this has one of its own.
    pub(crate) fn enqueue(&self, command: Command, answer: Answer) {
        let answer = Some(answer);
        self.handle.shared.queue.push(Pending { command, answer });
    }

    /// Has the writes written that wait.
    pub(crate) fn flush(&self) {
        self.handle.shared.flush();
    }
}
