//! Versions live side by side; one is the default, by one word; and nothing comes from whoever is not allowed.

use phalanx::{CallError, Reason};
use phalanx_drivers::wasm::{Entry, SignedModule, Signer, WasmCallError, WasmError};
use tests::{Cluster, soon};

use super::guests::{add_worker, both, greeting, policy, signer, source};

fn refused<T: std::fmt::Debug>(result: Result<T, WasmCallError>) -> WasmError {
    match result {
        Err(CallError::Failed(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_pushed_called_switched_and_rolled_back() {
    let mut cluster = Cluster::start(&["wv-c1", "wv-c2"], &["wv-none"]).await;
    add_worker(&mut cluster, "wv-w", &policy(None)).await;
    let [one, other] = both(&cluster, "wv-w");
    let run = || Entry::new("greet", "run");
    let none = refused(one.call(run(), "").await);
    assert_eq!(none, WasmError::NoSuchModule);

    let first = soon("a module is pushed", one.push(&greeting("greet", "1"))).await.unwrap();
    assert_eq!((first.version.as_str(), first.signer.as_str(), first.running), ("1", "scenarios", 0));
    assert_eq!(&other.call(run(), "").await.unwrap().output[..], b"greet 1");
    let second = soon("another version", other.push(&greeting("greet", "2"))).await.unwrap();
    assert_eq!(soon("the same again", one.push(&greeting("greet", "2"))).await, Ok(second.clone()));

    // Both are there, and the first is the default until somebody says otherwise.
    for client in [&one, &other] {
        assert_eq!(client.call(run(), "").await.unwrap().version, "1");
        let returned = client.call(run().version("2"), "").await.unwrap();
        assert_eq!((&returned.output[..], returned.version.as_str()), (&b"greet 2"[..], "2"));
    }
    one.switch("greet", "2").await.unwrap();
    one.switch("greet", "2").await.unwrap();
    assert_eq!(&other.call(run(), "").await.unwrap().output[..], b"greet 2");
    assert_eq!(refused(other.remove("greet", "2").await), WasmError::IsDefault);
    let listed = other.list().await.unwrap();
    assert_eq!((listed.len(), &listed[0].defaults[..]), (1, &["1".to_owned(), "2".to_owned()][..]));
    assert_eq!(listed[0].versions, [first, second]);

    assert_eq!(other.roll_back("greet", "2").await, Ok("1".to_owned()));
    let again = refused(other.roll_back("greet", "2").await);
    assert_eq!(again, WasmError::OtherDefault { version: "1".to_owned() });
    assert_eq!(&one.call(run(), "").await.unwrap().output[..], b"greet 1");
    one.remove("greet", "2").await.unwrap();
    assert_eq!(refused(one.call(run().version("2"), "").await), WasmError::NoSuchVersion);
    assert_eq!(refused(one.call(Entry::new("greet", "walk"), "").await), WasmError::NoSuchFunction);
    let found = "(i32) -> i32".to_owned();
    let wrong = refused(one.call(Entry::new("greet", "phalanx_alloc"), "").await);
    assert_eq!(wrong, WasmError::WrongSignature { found });
    one.remove("greet", "1").await.unwrap();
    assert_eq!(other.list().await, Ok(vec![]));

    // Who has not registered it takes nothing at all.
    let [none, _] = both(&cluster, "wv-none");
    assert_eq!(none.list().await, Err(CallError::NotExecuted(Reason::NoSuchClass)));
    assert_eq!(none.push(&greeting("greet", "1")).await, Err(CallError::NotExecuted(Reason::NoSuchClass)));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_known_key_has_signed_is_refused() {
    let mut cluster = Cluster::start(&["ws-c1", "ws-c2"], &[]).await;
    add_worker(&mut cluster, "ws-w", &policy(None)).await;
    for client in both(&cluster, "ws-w") {
        let push = async |module: &SignedModule| refused(soon("it is refused", client.push(module)).await);
        let good = greeting("greet", "1");
        let mut unsigned = good.clone();
        unsigned.announced.signature = None;
        assert_eq!(push(&unsigned).await, WasmError::NotSigned);

        let stranger = Signer::from_seed(&[6; 32]);
        let key = stranger.key().to_string();
        let foreign = stranger.sign("greet", "1", good.bytes.clone()).unwrap();
        assert_eq!(push(&foreign).await, WasmError::UnknownKey { key });

        // The signature of one version under another version, another name, another content.
        let mut renamed = good.clone();
        renamed.announced.version = "2".to_owned();
        assert_eq!(push(&renamed).await, WasmError::BadSignature);
        let mut renamed = good.clone();
        renamed.announced.module = "greed".to_owned();
        assert_eq!(push(&renamed).await, WasmError::BadSignature);
        let mut other = good.clone();
        other.bytes = greeting("greet", "3").bytes;
        assert_eq!(push(&other).await, WasmError::Corrupt);
        other.announced = SignedModule::unsigned("greet", "1", other.bytes.clone()).unwrap().announced;
        other.announced.signature = good.announced.signature.clone();
        assert_eq!(push(&other).await, WasmError::BadSignature);

        let wants_more = source(r#"(import "wasi_snapshot_preview1" "fd_write" (func))"#, "");
        let wants_more = signer().sign("more", "1", wants_more).unwrap();
        let import = "wasi_snapshot_preview1.fd_write".to_owned();
        assert_eq!(push(&wants_more).await, WasmError::UnknownImport { import });
        let nonsense = signer().sign("nonsense", "1", vec![1; 300_000]).unwrap();
        assert!(matches!(push(&nonsense).await, WasmError::InvalidModule { .. }));
        let large = signer().sign("large", "1", vec![0; (4 << 20) + 1]).unwrap();
        assert!(matches!(push(&large).await, WasmError::TooLarge { bytes_max, .. } if bytes_max == 4 << 20));
        assert_eq!(client.list().await, Ok(vec![]), "nothing is left of any of it");
    }
    cluster.shutdown().await;
}
