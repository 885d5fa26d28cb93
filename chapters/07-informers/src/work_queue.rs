//! Keys to look at: each waits once, and is looked at by one worker at a time.
//!
//! ```text
//!   add(a) ──► dirty {a}, order [a]
//!   get()  ──► a          processing {a}
//!   add(a) ──► dirty {a}  (not in the order: a worker has it)
//!   done(a) ─► order [a]  (it was added meanwhile: look again)
//! ```
//!
//! So a key that changes ten times while it is looked at is looked at once more, not ten times,
//! and never by two workers at once. What fails comes back after a wait that doubles.
//! Upstream: `client-go/util/workqueue`.

use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Wait before the first retry of a key. Upstream: `DefaultTypedControllerRateLimiter`.
pub const RETRY_START: Duration = Duration::from_millis(5);
/// Longest wait between retries of a key.
pub const RETRY_MAX: Duration = Duration::from_secs(30);

/// The queue's decisions, without a clock of its own.
#[derive(Debug)]
pub struct Queue<T> {
    /// Those that wait for a worker, each once.
    order: VecDeque<T>,
    /// Those to be looked at: they wait, or were added while a worker had them.
    dirty: HashSet<T>,
    /// Those that a worker has.
    processing: HashSet<T>,
    delayed: BinaryHeap<Delayed<T>>,
    next_seq: u64,
    failures: HashMap<T, u32>,
    shut_down: bool,
}

/// Sorted by time, the earliest first; by `seq` among equals, so that tests are deterministic.
#[derive(Debug)]
struct Delayed<T> {
    at: Instant,
    seq: u64,
    item: T,
}

impl<T> PartialEq for Delayed<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.seq) == (other.at, other.seq)
    }
}
impl<T> Eq for Delayed<T> {}
impl<T> PartialOrd for Delayed<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Delayed<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Reversed: the heap gives its largest.
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue {
            order: VecDeque::new(),
            dirty: HashSet::new(),
            processing: HashSet::new(),
            delayed: BinaryHeap::new(),
            next_seq: 0,
            failures: HashMap::new(),
            shut_down: false,
        }
    }
}

impl<T: Clone + Eq + Hash> Queue<T> {
    // ANCHOR: exercise-07.2
    /// Asks for a look at `item`.
    pub fn add(&mut self, item: T) {
        if self.shut_down || !self.dirty.insert(item.clone()) {
            return;
        }
        if !self.processing.contains(&item) {
            self.order.push_back(item);
        }
    }

    /// The next item. The caller must call [`Queue::done`] when it has looked.
    pub fn get(&mut self) -> Option<T> {
        let item = self.order.pop_front()?;
        self.dirty.remove(&item);
        self.processing.insert(item.clone());
        Some(item)
    }

    /// A worker has looked at `item`.
    pub fn done(&mut self, item: &T) {
        self.processing.remove(item);
        if self.dirty.contains(item) {
            self.order.push_back(item.clone());
        }
    }
    // ANCHOR_END: exercise-07.2

    /// Asks for a look at `item` at a later time.
    pub fn add_at(&mut self, item: T, at: Instant) {
        self.delayed.push(Delayed {
            at,
            seq: self.next_seq,
            item,
        });
        self.next_seq += 1;
    }

    /// How long to wait before `item` is tried again, one failure more.
    pub fn next_wait(&mut self, item: &T) -> Duration {
        let failures = self.failures.entry(item.clone()).or_insert(0);
        let wait = RETRY_START
            .saturating_mul(1 << (*failures).min(20))
            .min(RETRY_MAX);
        *failures += 1;
        wait
    }

    /// Forgets the failures of `item`: it went well.
    pub fn forget(&mut self, item: &T) {
        self.failures.remove(item);
    }

    /// Brings in what was to be looked at by `now`; returns when the next one is due.
    pub fn tick(&mut self, now: Instant) -> Option<Instant> {
        while let Some(delayed) = self.delayed.peek() {
            if delayed.at > now {
                return Some(delayed.at);
            }
            let due = self.delayed.pop().expect("it was peeked");
            self.add(due.item);
        }
        None
    }

    /// Items that wait for a worker.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

/// A [`Queue`] shared by those who add and those who work.
pub struct WorkQueue<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    changed: Notify,
}

impl<T> Clone for WorkQueue<T> {
    fn clone(&self) -> Self {
        WorkQueue {
            shared: self.shared.clone(),
        }
    }
}

impl<T> Default for WorkQueue<T> {
    fn default() -> Self {
        WorkQueue {
            shared: Arc::new(Shared {
                queue: Mutex::default(),
                changed: Notify::new(),
            }),
        }
    }
}

impl<T: Clone + Eq + Hash + Send> WorkQueue<T> {
    /// Asks for a look at `item`.
    pub fn add(&self, item: T) {
        self.lock().add(item);
        self.shared.changed.notify_one();
    }

    /// Asks for a look at `item` after a while.
    pub fn add_after(&self, item: T, wait: Duration) {
        self.lock().add_at(item, Instant::now() + wait);
        self.shared.changed.notify_one();
    }

    /// Asks for another look at `item` after a failure; the wait doubles with each.
    pub fn add_rate_limited(&self, item: T) {
        let wait = self.lock().next_wait(&item);
        self.add_after(item, wait);
    }

    /// Forgets the failures of `item`.
    pub fn forget(&self, item: &T) {
        self.lock().forget(item);
    }

    /// Waits for the next item; `None` once the queue is shut down. Call [`WorkQueue::done`]
    /// when done.
    pub async fn get(&self) -> Option<T> {
        loop {
            let due = {
                let mut queue = self.lock();
                if queue.shut_down {
                    return None;
                }
                let due = queue.tick(Instant::now());
                if let Some(item) = queue.get() {
                    // Another worker may be waiting for the rest.
                    if !queue.is_empty() {
                        self.shared.changed.notify_one();
                    }
                    return Some(item);
                }
                due
            };
            match due {
                None => self.shared.changed.notified().await,
                Some(due) => {
                    let _due_or_changed =
                        tokio::time::timeout_at(due, self.shared.changed.notified()).await;
                }
            }
        }
    }

    /// A worker has looked at `item`.
    pub fn done(&self, item: &T) {
        self.lock().done(item);
        self.shared.changed.notify_one();
    }

    /// Ends all waiting.
    pub fn shut_down(&self) {
        self.lock().shut_down = true;
        self.shared.changed.notify_waiters();
        self.shared.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.shared
            .queue
            .lock()
            .expect("no holder of the lock panics")
    }
}
