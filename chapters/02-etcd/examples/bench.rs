//! `cargo run --release -p etcd --example bench`: how fast writes are acknowledged, by how many
//! there are at a time.

use std::time::{Duration, Instant};

use etcd::api::PutRequest;
use etcd::{Options, Store};

const SECONDS: u64 = 2;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("writers   writes/s   p50 µs   p99 µs");
    for writers in [1, 16, 256] {
        let dir = tempfile::tempdir()?;
        let store = Store::open(dir.path(), Options::default())?;
        let end = Instant::now() + Duration::from_secs(SECONDS);
        let tasks: Vec<_> = (0..writers)
            .map(|i| tokio::spawn(write(store.clone(), i, end)))
            .collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await??);
        }
        latencies.sort();
        let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_micros();
        let rate = latencies.len() as u64 / SECONDS;
        println!("{writers:7}   {rate:8}   {:6}   {:6}", at(50), at(99));
    }
    Ok(())
}

/// Puts objects of a pod's size until `end`.
async fn write(store: Store, i: usize, end: Instant) -> Result<Vec<Duration>, etcd::Error> {
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let put = PutRequest {
            key: format!("/registry/pods/default/pod-{i}").into(),
            value: vec![b'x'; 2000].into(),
            ..PutRequest::default()
        };
        let start = Instant::now();
        store.put(put).await?;
        latencies.push(start.elapsed());
    }
    Ok(latencies)
}
