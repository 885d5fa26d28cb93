//! The crate's client and the server, which is a process of its own.

mod server;

use std::time::Duration;

use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, DeleteOptions, Error, EventType,
    GetOptions, Identity, PutOptions, SortOrder, SortTarget, TlsOptions, Txn, TxnOp, TxnOpResponse,
    WatchOptions,
};

use server::{Authority, Server};

async fn connect(server: &Server) -> Client {
    let client = Client::connect([&server.url], None).await;
    client.expect("the server answers")
}

#[tokio::test]
async fn keys_are_put_and_found_by_range_order_and_revision() -> Result<(), Error> {
    let server = Server::start(&[]);
    let mut client = connect(&server).await;
    for (key, value) in [("/pods/b", "1"), ("/pods/a", "2"), ("/nodes/a", "3")] {
        client.put(key, value, None).await?;
    }
    let before = client
        .put("/pods/a", "4", Some(PutOptions::new().with_prev_key()))
        .await?;
    let before = before.prev_key().expect("it was there");
    assert_eq!((before.value_str()?, before.version()), ("2", 1));

    let newest = GetOptions::new()
        .with_prefix()
        .with_sort(SortTarget::Mod, SortOrder::Descend)
        .with_limit(1);
    let found = client.get("/pods/", Some(newest)).await?;
    assert_eq!((found.count(), found.more()), (2, true));
    assert_eq!(found.kvs()[0].key_str()?, "/pods/a");
    let old = GetOptions::new().with_revision(3);
    let old = client.get("/pods/a", Some(old)).await?;
    assert_eq!(old.kvs()[0].value_str()?, "2");

    let deleted = client
        .delete("/pods/", Some(DeleteOptions::new().with_prefix()))
        .await?;
    assert_eq!(deleted.deleted(), 2);
    client.compact(6, None).await?;
    let old = GetOptions::new().with_revision(3);
    let compacted = client.get("/pods/a", Some(old)).await;
    let compacted = compacted.expect_err("it is compacted").to_string();
    let said = "etcdserver: mvcc: required revision has been compacted";
    assert!(compacted.contains(said), "{compacted}");
    Ok(())
}

#[tokio::test]
async fn of_two_who_swap_one_succeeds() -> Result<(), Error> {
    let server = Server::start(&[]);
    let mut client = connect(&server).await;
    client.put("lock", "free", None).await?;
    let seen = client.get("lock", None).await?.kvs()[0].mod_revision();
    let take = |who: &str| {
        Txn::new()
            .when([Compare::mod_revision("lock", CompareOp::Equal, seen)])
            .and_then([TxnOp::put("lock", who, None)])
            .or_else([TxnOp::get("lock", None)])
    };
    assert!(client.txn(take("me")).await?.succeeded());
    let second = client.txn(take("you")).await?;
    assert!(!second.succeeded());
    let holder = match &second.op_responses()[0] {
        TxnOpResponse::Get(found) => found.kvs()[0].value_str()?.to_owned(),
        other => panic!("it asked for what is there: {other:?}"),
    };
    assert_eq!(holder, "me");
    Ok(())
}

#[tokio::test]
async fn a_watch_tells_the_past_and_what_comes() -> Result<(), Error> {
    let server = Server::start(&[]);
    let mut client = connect(&server).await;
    client.put("/a/1", "x", None).await?;
    client.put("/b/1", "x", None).await?;
    let options = WatchOptions::new()
        .with_prefix()
        .with_start_revision(2)
        .with_prev_key();
    let mut watch = client.watch("/a/", Some(options)).await?;
    let created = watch.message().await?.expect("it is made");
    assert!(created.created());
    client.delete("/a/1", None).await?;

    let mut told = Vec::new();
    while told.len() < 2 {
        let message = watch.message().await?.expect("the stream goes on");
        for event in message.events() {
            let key = event.kv().expect("an event is about a key");
            told.push((event.event_type(), key.mod_revision()));
            if event.event_type() == EventType::Delete {
                let before = event.prev_kv().expect("it was asked for");
                assert_eq!(before.value_str()?, "x");
            }
        }
    }
    assert_eq!(told, [(EventType::Put, 2), (EventType::Delete, 4)]);

    watch.request_progress().await?;
    let progress = watch.message().await?.expect("the stream goes on");
    let revision = progress.header().expect("a header").revision();
    assert_eq!((progress.events().len(), revision), (0, 4));
    watch.cancel(created.watch_id()).await?;
    let ended = watch.message().await?.expect("the end is told");
    assert!(ended.canceled());
    Ok(())
}

#[tokio::test]
async fn a_lease_that_is_kept_alive_keeps_its_key() -> Result<(), Error> {
    let server = Server::start(&[]);
    let mut client = connect(&server).await;
    let lease = client.lease_grant(2, None).await?.id();
    let options = PutOptions::new().with_lease(lease);
    client.put("member", "here", Some(options)).await?;
    let (mut keeper, mut answers) = client.lease_keep_alive(lease).await?;
    for _ in 0..3 {
        keeper.keep_alive().await?;
        let answer = answers.message().await?.expect("it is answered");
        assert_eq!((answer.id(), answer.ttl()), (lease, 2));
    }
    let left = client.lease_time_to_live(lease, None).await?;
    assert_eq!(left.granted_ttl(), 2);
    assert_eq!(client.leases().await?.leases()[0].id(), lease);

    // Nobody renews it any more.
    let mut watch = client.watch("member", None).await?;
    let gone = async {
        loop {
            let message = watch.message().await?.expect("the stream goes on");
            let mut events = message.events().iter();
            if events.any(|event| event.event_type() == EventType::Delete) {
                return Ok::<(), Error>(());
            }
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), gone).await;
    in_time.expect("a lease ends")?;
    Ok(())
}

#[tokio::test]
async fn a_snapshot_is_the_store() -> Result<(), Error> {
    let server = Server::start(&[]);
    let mut client = connect(&server).await;
    client.put("kept", "value", None).await?;
    let status = client.status().await?;
    assert!(status.version().starts_with("3."), "{}", status.version());
    assert_eq!(client.member_list().await?.members().len(), 1);
    let (hash, later) = (
        client.hash_kv(0).await?.hash(),
        client.hash_kv(0).await?.hash(),
    );
    assert_eq!(hash, later);

    let mut snapshot = client.snapshot().await?;
    let mut bytes = Vec::new();
    while let Some(part) = snapshot.message().await? {
        bytes.extend_from_slice(part.blob());
    }
    let restored = server.restore(&bytes);
    let found = connect(&restored).await.get("kept", None).await?;
    assert_eq!(found.kvs()[0].value_str()?, "value");
    client.defragment().await?;
    Ok(())
}

#[tokio::test]
async fn a_client_shows_a_certificate() -> Result<(), Error> {
    let authority = Authority::new();
    authority.issue("server", &["127.0.0.1"]);
    authority.issue("client", &[]);
    let server = Server::start(&[
        "--client-cert-auth",
        &format!("--cert-file={}", authority.path("server.pem")),
        &format!("--key-file={}", authority.path("server.key")),
        &format!("--trusted-ca-file={}", authority.path("ca.pem")),
    ]);
    let roots = TlsOptions::new().ca_certificate(Certificate::from_pem(authority.read("ca.pem")));
    let identity = Identity::from_pem(authority.read("client.pem"), authority.read("client.key"));
    let known = ConnectOptions::new().with_tls(roots.clone().identity(identity));
    let mut client = Client::connect([&server.url], Some(known)).await?;
    client.put("a", "b", None).await?;

    let unknown = ConnectOptions::new().with_tls(roots);
    let refused = match Client::connect([&server.url], Some(unknown)).await {
        Ok(mut client) => client.get("a", None).await.map(drop),
        Err(refused) => Err(refused),
    };
    assert!(refused.is_err(), "it has no certificate");
    Ok(())
}
