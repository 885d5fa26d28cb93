//! What clients saw, while the server was killed and started again: can it be?
//!
//! Clients put, read, swap and delete a few keys at the same time, watchers follow them, and the
//! server gets `kill -9` now and then. Everyone writes down what was asked, when, and what the
//! answer was. Afterwards three checkers look whether a single store, doing one thing after the
//! other, could have given these answers:
//!
//! - [`linearizable`]: each key alone, trusting in nothing but clocks and values.
//! - [`order`]: all keys together, in the order of the revisions that the server gave.
//! - [`watches`]: etcd's promises about watches, held against that order.
//!
//! A client whose connection died does not know whether its write was done. It may have been, then
//! or at any later time, and that too has to fit. A checker that finds nothing wrong is worth as
//! much as its proof that it can: each has tests with histories that are wrong in every way.

#![cfg(feature = "grpc")]

mod calls;
mod clients;
mod linearizable;
mod order;
mod server;
mod watches;

use std::time::{Duration, Instant};

use clients::Recorded;

/// Runs clients for some time, then checks what they saw.
fn round(seed: u64, time: Duration) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let Recorded {
        calls,
        log,
        watches,
        kills,
    } = runtime.block_on(clients::record(seed, time));
    let unknown = calls.iter().filter(|call| call.answer.is_none()).count();
    let events: usize = watches
        .iter()
        .flat_map(|w| &w.batches)
        .map(|b| b.events.len())
        .sum();
    println!(
        "seed {seed}: {} calls, {unknown} of them without an answer, {} writes, {events} events \
         heard, {kills} kills",
        calls.len(),
        log.len(),
    );
    assert!(
        kills > 0 && log.len() > 100 && events > log.len(),
        "too little happened"
    );
    if let Err(wrong) = check(&calls, &log, &watches) {
        panic!("seed {seed}: {wrong}");
    }
}

fn check(
    calls: &[calls::Call],
    log: &[calls::Change],
    watches: &[watches::Watch],
) -> Result<(), String> {
    linearizable::check(calls)?;
    order::check(calls, log)?;
    watches
        .iter()
        .try_for_each(|watch| watches::check(watch, log))
}

#[test]
fn what_clients_saw_can_be() {
    round(1, Duration::from_secs(6));
}

/// As above, for as many minutes as `SOAK_MINUTES` says: `cargo xtask soak store`.
#[test]
#[ignore = "runs for minutes"]
fn soak() {
    let minutes = std::env::var("SOAK_MINUTES").map_or(1, |minutes| {
        minutes.parse().expect("SOAK_MINUTES is a number")
    });
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    for seed in (2..).take_while(|_| Instant::now() < end) {
        round(seed, Duration::from_secs(10));
    }
}
