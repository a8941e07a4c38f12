//! Operators over the network: streams for who proves the cluster's secret, and nothing for anybody else.

use bytes::Bytes;
use phalanx::{Address, Operator, OperatorError, Secret, SystemEntropy};
use tests::{Cluster, soon};

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_asks_is_answered_and_is_no_member() {
    let cluster = Cluster::start(&["athens", "sparta"], &[]).await;
    let athens = cluster.control("athens");
    let listener = athens.operators();
    let echo = tokio::spawn(async move {
        let mut stream = listener.accept().await.unwrap();
        while let Ok(Some(message)) = stream.recv().await {
            stream.send(message).await.unwrap();
        }
        stream.finish();
        stream.peer().node.clone()
    });
    let nobody = Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], 1)));
    let addresses = [nobody, athens.local_addr().into()];
    let operator = Operator::connect(tests::CLUSTER_NAME, &cluster.secret, &addresses).await.unwrap();
    assert_eq!(operator.peer().node.as_str(), "athens", "the first that answers");
    let mut stream = operator.open().await.unwrap();
    for message in [&b"status"[..], b"", &[7; 1 << 20]] {
        stream.send(Bytes::copy_from_slice(message)).await.unwrap();
        assert_eq!(soon("an answer", stream.recv()).await.unwrap().unwrap(), message);
    }
    let view = athens.cluster().borrow().clone();
    assert_eq!(view.members.len(), 2, "an operator is no member");
    stream.finish();
    assert_eq!(soon("the end", stream.recv()).await.unwrap(), None);
    let name = soon("the node has heard the end", echo).await.unwrap();
    assert!(athens.workers().await.iter().all(|worker| worker.worker != name), "and no worker");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_secret_or_a_listener_there_is_no_stream() {
    let cluster = Cluster::start(&["athens"], &["camera"]).await;
    let connect = async |name: &str, secret: &Secret, to: std::net::SocketAddr| {
        Operator::connect(name, secret, &[to.into()]).await
    };
    let (athens, other) = (cluster.control("athens"), Secret::generate(&SystemEntropy::new()));
    let refused = |outcome: Result<Operator, OperatorError>| outcome.err().unwrap().to_string();
    let wrong_secret = refused(connect(tests::CLUSTER_NAME, &other, athens.local_addr()).await);
    assert!(wrong_secret.contains("secret"), "{wrong_secret}");
    let wrong_cluster = refused(connect("video", &cluster.secret, athens.local_addr()).await);
    assert!(
        wrong_cluster.contains("video") && wrong_cluster.contains(tests::CLUSTER_NAME),
        "{wrong_cluster}"
    );
    let worker = cluster.worker("camera").local_addr();
    let not_a_control_node = refused(connect(tests::CLUSTER_NAME, &cluster.secret, worker).await);
    assert!(not_a_control_node.contains("control node"), "{not_a_control_node}");
    assert!(matches!(
        Operator::connect(tests::CLUSTER_NAME, &cluster.secret, &[]).await,
        Err(OperatorError::NoAddress)
    ));
    // The program of this node serves no operators, and says so at once or a little later.
    let refused = match connect(tests::CLUSTER_NAME, &cluster.secret, athens.local_addr()).await {
        Err(refused) => refused.to_string(),
        Ok(operator) => {
            let asked = async {
                let mut stream = operator.open().await?;
                stream.recv().await
            };
            soon("it is refused", asked).await.unwrap_err().to_string()
        }
    };
    assert!(refused.contains("takes no operators"), "{refused}");
}
