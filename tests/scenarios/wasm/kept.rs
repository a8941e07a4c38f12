//! What was pushed is there after a restart; what did not arrive is nowhere.

use std::convert::Infallible;
use std::fs;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use phalanx::TaskError;
use phalanx_drivers::wasm::{Entry, Wasm, WasmError, WasmWork};
use tests::{Cluster, soon};

use super::guests::{add_worker, both, greeting, handles, policy, signer};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_restarts_has_its_modules_and_their_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let policy = policy(Some(&folder.path().join("modules")));
    let mut cluster = Cluster::start(&["wk-c1", "wk-c2"], &[]).await;
    add_worker(&mut cluster, "wk-w", &policy).await;
    let [client, _] = both(&cluster, "wk-w");
    for version in ["1", "2", "3"] {
        soon("it is pushed", client.push(&greeting("greet", version))).await.unwrap();
    }
    soon("it is pushed", client.push(&greeting("other", "1"))).await.unwrap();
    client.switch("greet", "3").await.unwrap();
    client.switch("greet", "2").await.unwrap();
    client.remove("greet", "1").await.unwrap();
    let before = client.list().await.unwrap();

    cluster.take_worker("wk-w").shutdown().await;
    add_worker(&mut cluster, "wk-w", &policy).await;
    for client in both(&cluster, "wk-w") {
        assert_eq!(client.list().await.unwrap(), before);
        assert_eq!(&client.call(Entry::new("greet", "run"), "").await.unwrap().output[..], b"greet 2");
        let third = client.call(Entry::new("greet", "run").version("3"), "").await.unwrap();
        assert_eq!(&third.output[..], b"greet 3");
    }
    let [client, _] = both(&cluster, "wk-w");
    assert_eq!(client.roll_back("greet", "2").await, Ok("3".to_owned()));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_cut_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(&["wc-c1", "wc-c2"], &[]).await;
    add_worker(&mut cluster, "wc-w", &policy(Some(folder.path()))).await;
    // Large enough that it is still under way when it is cut.
    let source = Bytes::from(vec![1; 4 << 20]);
    let module = signer().sign("large", "1", source.clone()).unwrap();
    for (handle, client) in handles(&cluster, "wc-w").into_iter().zip(both(&cluster, "wc-w")) {
        let task = handle.start::<Wasm>(WasmWork::Push(module.announced.clone())).await.unwrap();
        let (begun, has_begun) = tokio::sync::oneshot::channel::<()>();
        let first = source.slice(..3 << 20);
        let rest = stream::once(async move {
            let _ = begun.send(());
            std::future::pending::<Result<Bytes, Infallible>>().await
        });
        tokio::select! {
            biased;
            sent = task.send(stream::iter([Ok(first)]).chain(rest)) => panic!("{sent:?}"),
            _ = has_begun => {}
        }
        let end = soon("the push ends", task.output()).await;
        assert_eq!(end, Err(TaskError::Failed(WasmError::Interrupted)));
        assert_eq!(client.list().await, Ok(vec![]));
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names, [".lock"], "nothing is on the disk");
        // The next one is as good as the first.
        soon("it is pushed", client.push(&greeting("greet", "1"))).await.unwrap();
        client.remove("greet", "1").await.unwrap();
        fs::remove_file(folder.path().join("defaults")).unwrap();
    }
    cluster.shutdown().await;
}
