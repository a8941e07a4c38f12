//! Named functions of a worker's program, called over the network.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use phalanx::CallOptions;
use phalanx_drivers::functions::{FunctionCalls, FunctionError, Functions, FunctionsClient, Signature};
use serde::{Deserialize, Serialize};
use tests::{Cluster, soon};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    item: String,
    count: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Trouble {
    SoldOut { left: u32 },
}

mod elsewhere {
    /// Another type of the same name.
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    pub(super) struct Order {
        pub(super) item: u8,
    }
}

fn functions(ran: &Arc<AtomicU64>) -> Functions {
    let sell = async |order: Order| -> Result<String, Trouble> {
        if order.count > 3 { Err(Trouble::SoldOut { left: 3 }) } else { Ok(format!("{} sold", order.item)) }
    };
    let ran = ran.clone();
    let count = move |step: u64| {
        let ran = ran.clone();
        async move { Ok::<u64, ()>(ran.fetch_add(step, Ordering::Relaxed) + step) }
    };
    let trip = async |text: String| -> Result<(), ()> { panic!("{text}") };
    let hang = async |(): ()| -> Result<(), ()> { std::future::pending().await };
    let functions = Functions::new().register("sell", sell).unwrap().register("count", count).unwrap();
    functions.register("trip", trip).unwrap().register("hang", hang).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_are_called_by_name_with_their_types() {
    let mut cluster = Cluster::start(&["fn-c1", "fn-c2"], &[]).await;
    let ran = Arc::new(AtomicU64::new(0));
    let builder = cluster.worker_builder("fn-w").job::<FunctionCalls>(functions(&ran));
    cluster.adopt_worker(builder.start().await.unwrap());
    cluster.settled().await;
    for control in cluster.both_ways("fn-w") {
        let client = FunctionsClient::new(cluster.through(&control, "fn-w"));
        let order = |count| Order { item: "lamp".into(), count };
        let sold = client.call::<_, String, Trouble>("sell", &order(2)).await;
        assert_eq!(sold, Ok("lamp sold".to_owned()));
        let sold = client.call::<_, String, Trouble>("sell", &order(4)).await;
        assert_eq!(sold, Err(FunctionError::Failed(Trouble::SoldOut { left: 3 })));
        let none = client.call::<_, String, Trouble>("buy", &order(4)).await;
        assert_eq!(none, Err(FunctionError::NoSuchFunction));
        let wrong = client.call::<_, String, Trouble>("sell", "lamp").await.unwrap_err();
        assert!(matches!(&wrong, FunctionError::OtherSignature { theirs, .. } if theirs.argument == "Order"));
        assert!(wrong.to_string().contains("(Order) -> Result<String, Trouble>"), "{wrong}");
        // A type of the same name and another shape is found by its encoding.
        let wrong = client.call::<_, String, Trouble>("sell", &elsewhere::Order { item: 200 }).await;
        assert_eq!(wrong, Err(FunctionError::Argument));

        let tripped = client.call::<_, (), ()>("trip", "over the cable").await;
        assert_eq!(tripped, Err(FunctionError::Panicked("over the cable".into())));
        let short = cluster
            .through(&control, "fn-w")
            .with(CallOptions { deadline: Duration::from_millis(200), ..CallOptions::default() });
        let late = FunctionsClient::new(short).call::<_, (), ()>("hang", &()).await;
        assert!(matches!(late, Err(FunctionError::Aborted(_) | FunctionError::Unknown(_))), "{late:?}");

        let listed = client.list().await.unwrap();
        let names: Vec<&str> = listed.iter().map(|function| function.name.as_str()).collect();
        assert_eq!(names, ["count", "hang", "sell", "trip"]);
        assert_eq!(listed[2].signature, Signature::of::<Order, String, Trouble>());
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_run_in_the_background_as_tasks() {
    let mut cluster = Cluster::start(&["fnt-c1", "fnt-c2"], &[]).await;
    let ran = Arc::new(AtomicU64::new(0));
    let builder = cluster.worker_builder("fnt-w").job::<FunctionCalls>(functions(&ran));
    cluster.adopt_worker(builder.start().await.unwrap());
    cluster.settled().await;
    let [one, other] =
        cluster.both_ways("fnt-w").map(|control| FunctionsClient::new(cluster.through(&control, "fnt-w")));
    let task = one.start::<_, u64, ()>("count", &5_u64).await.unwrap();
    assert_eq!(soon("it ends", task.output()).await, Ok(5));
    assert_eq!(soon("its result is kept", task.clone().output()).await, Ok(5));
    assert_eq!(ran.load(Ordering::Relaxed), 5, "it ran once");
    let task = other.start::<_, (), ()>("trip", "up").await.unwrap();
    assert_eq!(soon("it ends", task.output()).await, Err(FunctionError::Panicked("up".into())));
    let task = other.start::<_, u64, ()>("trip", "up").await.unwrap();
    let end = soon("it ends", task.output()).await;
    assert!(matches!(end, Err(FunctionError::OtherSignature { .. })), "{end:?}");
    let task = other.start::<_, (), ()>("hang", &()).await.unwrap();
    task.stop(Duration::from_millis(50)).await.unwrap();
    assert_eq!(soon("it is ended", task.output()).await, Err(FunctionError::Stopped));
    cluster.shutdown().await;
}
