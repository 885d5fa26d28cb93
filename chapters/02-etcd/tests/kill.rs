//! `kill -9` at any moment loses nothing that was acknowledged.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use etcd::api::{KeyRange, PutRequest, RangeRequest};
use etcd::{Options, Store};

const DIR: &str = "ETCD_KILL_TEST_DIR";
const WRITERS: usize = 8;

/// So small that checkpoints are being written most of the time.
fn options() -> Options {
    Options {
        checkpoint_bytes: 2000,
        ..Options::default()
    }
}

fn counter(store: &Store, writer: usize) -> u64 {
    let key = Bytes::from(format!("/writer/{writer}"));
    let response = store
        .range(&RangeRequest::new(KeyRange::One(key)))
        .expect("readable");
    response.kvs.first().map_or(0, |kv| {
        std::str::from_utf8(&kv.value)
            .expect("a number")
            .parse()
            .expect("a number")
    })
}

/// Not a test but what the test kills: writers that count up and say each number once it is
/// acknowledged.
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let store = Store::open(Path::new(&dir), options()).expect("opens after any kill");
        let writers = (0..WRITERS).map(|writer| {
            let store = store.clone();
            async move {
                let mut n = counter(&store, writer);
                loop {
                    n += 1;
                    let put = PutRequest {
                        key: format!("/writer/{writer}").into(),
                        value: n.to_string().into(),
                        ..PutRequest::default()
                    };
                    let put = store.put(put).await.expect("stored");
                    writeln!(std::io::stdout(), "acknowledged {writer} {n}").expect("a reader");
                    if put.revision % 50 == 0 {
                        store
                            .compact(put.revision - 10)
                            .await
                            .expect("later each time");
                    }
                }
            }
        });
        futures::future::join_all(writers).await;
    });
}

#[test]
fn nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut acknowledged = [0; WRITERS];
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "child", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test can be run");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        // The moment of death: some acknowledgements in, and a little later, at any point of
        // what the store does.
        let pause = Duration::from_micros(997 * (round * round * 7 % 23));
        let mut heard = 0;
        for line in lines.map_while(Result::ok) {
            let mut words = line
                .split(' ')
                .skip_while(|word| !word.ends_with("acknowledged"));
            let (Some(_), Some(writer), Some(n)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            acknowledged[writer.parse::<usize>().expect("a number")] = n.parse().expect("a number");
            heard += 1;
            // The rest of the lines were said before it died, so they count.
            if heard == 30 + 40 * round {
                std::thread::sleep(pause);
                child.kill().expect("it runs");
            }
        }
        child.wait().expect("it was ours");

        let store = Store::open(dir.path(), options()).expect("opens after any kill");
        for (writer, n) in acknowledged.iter_mut().enumerate() {
            let found = counter(&store, writer);
            assert!(
                found == *n || found == *n + 1,
                "round {round}: writer {writer} said {n}, has {found}"
            );
            // The next round's writer begins there, and may die before it says anything.
            *n = found;
        }
    }
    assert!(acknowledged.iter().sum::<u64>() > 1000);
}
