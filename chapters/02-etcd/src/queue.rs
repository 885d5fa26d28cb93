//! Writes that wait for the writer, and when it has to look after leases.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use crate::api::Error;
use crate::mvcc::{Applied, Command};

/// What is done with a write's outcome. It must not wait; whom it makes ready to run it returns,
/// to be woken when the outcomes of the whole batch are told.
pub type Answer = Box<dyn FnOnce(Result<Applied, Error>) -> Option<Waker> + Send>;

/// A write that waits.
pub struct Pending {
    /// What to write.
    pub command: Command,
    /// Who wants to know; the store's own writes have nobody.
    pub answer: Option<Answer>,
}

/// The writes that wait.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Pending>,
    /// Not later than the first lease's end; none while there is no lease.
    next_expiry: Option<Instant>,
    is_closed: bool,
    /// The writer's thread waits, and has to be called.
    is_thread_waiting: bool,
}

/// Why the writer's thread is called.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// There is something to write, or to end.
    Work,
    /// The store is closed, and everything is written.
    Closed,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No statement in this file leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a write. Somebody must then be made to write: see [`Queue::call`].
    pub fn push(&self, pending: Pending) {
        self.lock().waiting.push(pending);
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Takes all that wait.
    pub fn take(&self) -> Vec<Pending> {
        std::mem::take(&mut self.lock().waiting)
    }

    /// Calls the writer's thread if there is something for it.
    pub fn call(&self) {
        let mut state = self.lock();
        if !state.waiting.is_empty() && std::mem::take(&mut state.is_thread_waiting) {
            self.changed.notify_one();
        }
    }

    /// The thread has to look after leases at `at`, or not at all.
    pub fn set_expiry(&self, at: Option<Instant>) {
        self.lock().next_expiry = at;
    }

    /// A lease ends at `at`.
    pub fn expire_by(&self, at: Instant) {
        let mut state = self.lock();
        if state.next_expiry.is_none_or(|next| at < next) {
            state.next_expiry = Some(at);
            state.is_thread_waiting = false;
            self.changed.notify_one();
        }
    }

    /// No more writes will come.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Waits for something to do.
    pub fn wait(&self) -> Call {
        let mut state = self.lock();
        loop {
            if !state.waiting.is_empty() {
                return Call::Work;
            }
            if state.is_closed {
                return Call::Closed;
            }
            let now = Instant::now();
            let left = match state.next_expiry {
                Some(at) if at <= now => return Call::Work,
                Some(at) => Some(at - now),
                None => None,
            };
            state.is_thread_waiting = true;
            state = match left {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.is_thread_waiting = false;
        }
    }
}
