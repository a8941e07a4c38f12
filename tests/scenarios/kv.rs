//! Small data at a worker, over the network: changed in one step, gone with the process.

use futures_util::future::join_all;
use phalanx::{CallError, Reason, SystemEntropy};
use phalanx_drivers::kv::{Condition, Kv, KvClient, KvError, KvLimits, KvStore};
use tests::{Cluster, soon};

const LIMITS: KvLimits =
    KvLimits { key_bytes_max: 16, value_bytes_max: 64, bytes_max: 1 << 20, keys_max: 2_000 };

async fn add_worker(cluster: &mut Cluster, name: &str) {
    let store = KvStore::new(LIMITS, &SystemEntropy::new());
    let worker = cluster.worker_builder(name).job::<Kv>(store).start().await.unwrap();
    cluster.adopt_worker(worker);
    cluster.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_data_lives_with_its_worker() {
    let mut cluster = Cluster::start(&["kv-c1", "kv-c2"], &["kv-none"]).await;
    add_worker(&mut cluster, "kv-w").await;
    let [one, other] =
        cluster.both_ways("kv-w").map(|control| KvClient::new(cluster.through(&control, "kv-w")));

    assert_eq!(one.get("a").await, Ok(None));
    let first = one.put_if("a", "1", Condition::Absent).await.unwrap();
    let seen = other.get("a").await.unwrap().unwrap();
    assert_eq!((seen.version, &seen.value[..]), (first, &b"1"[..]));
    let conflict = |present| Err(CallError::Failed(KvError::Conflict { present }));
    assert_eq!(other.put_if("a", "2", Condition::Absent).await, conflict(Some(first)));
    let second = other.put_if("a", "2", Condition::Is(first)).await.unwrap();
    assert!(second.number > first.number);
    assert_eq!(one.put_if("a", "3", Condition::Is(first)).await, conflict(Some(second)));
    assert_eq!(one.delete("a", Condition::Is(first)).await.map(drop), conflict(Some(second)).map(drop));
    assert_eq!(one.delete("a", Condition::Always).await, Ok(true));
    assert_eq!(one.delete("a", Condition::Always).await, Ok(false));

    let refused = one.put(&"k".repeat(17), "").await;
    assert_eq!(refused, Err(CallError::Failed(KvError::Key { bytes: 17, bytes_max: 16 })));
    let refused = one.put("k", vec![0; 65]).await;
    assert_eq!(refused, Err(CallError::Failed(KvError::Value { bytes: 65, bytes_max: 64 })));

    // Who has no store says so.
    let none = KvClient::new(cluster.through("kv-c1", "kv-none"));
    assert_eq!(none.get("a").await, Err(CallError::NotExecuted(Reason::NoSuchClass)));

    // With its process all is gone, and a version of before fits nothing.
    let kept = one.put("kept", "1").await.unwrap();
    cluster.take_worker("kv-w").shutdown().await;
    add_worker(&mut cluster, "kv-w").await;
    let again = KvClient::new(cluster.through("kv-c1", "kv-w"));
    assert_eq!(again.get("kept").await, Ok(None));
    for _ in 0..kept.number {
        again.put("kept", "2").await.unwrap();
    }
    let present = again.get("kept").await.unwrap().unwrap().version;
    assert_eq!(present.number, kept.number);
    assert_eq!(again.put_if("kept", "3", Condition::Is(kept)).await, conflict(Some(present)));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_count_at_once_none_is_lost_and_pages_name_each_key_once() {
    let mut cluster = Cluster::start(&["kvs-c1", "kvs-c2"], &[]).await;
    add_worker(&mut cluster, "kvs-w").await;
    let clients = cluster.both_ways("kvs-w").map(|control| KvClient::new(cluster.through(&control, "kvs-w")));

    // Eight count to ten in one key, each by reading and comparing.
    let counting = (0..8).map(|number| {
        let client = clients[number % 2].clone();
        async move {
            for _ in 0..10 {
                loop {
                    let seen = client.get("count").await.unwrap();
                    let count: u64 = seen
                        .as_ref()
                        .map_or(0, |seen| std::str::from_utf8(&seen.value).unwrap().parse().unwrap());
                    let condition = seen.map_or(Condition::Absent, |seen| Condition::Is(seen.version));
                    match client.put_if("count", (count + 1).to_string(), condition).await {
                        Ok(_) => break,
                        Err(CallError::Failed(KvError::Conflict { .. })) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
    });
    soon("all have counted", join_all(counting)).await;
    assert_eq!(&clients[0].get("count").await.unwrap().unwrap().value[..], b"80");

    let keys: Vec<String> = (0..1_500).map(|at| format!("p/{at:04}")).collect();
    let puts = keys.iter().map(|key| clients[0].put(key, "v"));
    for put in soon("all are set", join_all(puts)).await {
        put.unwrap();
    }
    let first = clients[1].list("p/", None).await.unwrap();
    assert!(first.more && first.keys.len() == 1_000);
    let second = clients[1].list("p/", first.keys.last().map(|it| it.key.as_str())).await.unwrap();
    assert!(!second.more);
    let listed: Vec<String> = first.keys.into_iter().chain(second.keys).map(|it| it.key).collect();
    assert_eq!(listed, keys);
    let usage = clients[0].usage().await.unwrap();
    assert_eq!((usage.keys, usage.keys_max, usage.bytes), (1_501, 2_000, 1_500 * 7 + 7));
    cluster.shutdown().await;
}
