//! Two nodes with the same secret link, and a third with another one is refused.
//!
//! `cargo run -p phalanx-transport --example two_peers`

use std::error::Error;
use std::sync::Arc;

use phalanx_base::{Boot, Entropy, Generation, Lane, NodeId, Role};
use phalanx_transport::{
    AdmitAll, CloseReason, ClusterId, Credential, Endpoint, EndpointConfig, FrameCaps, LocalNode, Seams,
    Secret, SystemEntropy,
};

/// Kind 1 is a greeting of up to 64 bytes.
static CAPS: FrameCaps = FrameCaps::new().with(1, 64);

fn bind(name: &str, role: Role, credential: Credential) -> Result<Endpoint, Box<dyn Error>> {
    let boot = Boot { node: NodeId::new(name)?, generation: Generation::from_u64(1) };
    let local = LocalNode { cluster: "media".into(), boot, role };
    let listen = "127.0.0.1:0".parse()?;
    let config = EndpointConfig::default();
    Ok(Endpoint::bind(config, local, credential, listen, &Seams::real(), Arc::new(AdmitAll))?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Refusals are one line each; here they go to the terminal.
    tracing_subscriber::fmt().with_target(false).without_time().init();
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
    let secret = Secret::generate(&*entropy);
    println!("secret    {:?}, {} letters when exposed", secret, secret.expose().len());
    println!("cluster   {}", ClusterId::derive("media", &Credential::from(&secret))?);

    let control = bind("control-1", Role::Control, Credential::from(&secret))?;
    let worker = bind("camera-7", Role::Worker, secret.worker_credential().into())?;
    let stranger = bind("stranger", Role::Worker, Secret::generate(&*entropy).into())?;
    println!("listening {} on {}", control.local_node().boot, control.local_addr());

    let accepting = control.clone();
    let server = tokio::spawn(async move {
        while let Some(link) = accepting.accept().await {
            println!("control   accepted {} ({})", link.peer().boot, link.peer().role);
            while let Ok((lane, mut reply, mut receiver)) = link.accept().await {
                while let Ok(Some(frame)) = receiver.next(&CAPS).await {
                    println!("control   got {:?} on the {lane:?} lane", frame.body);
                    if reply.send(1, "and hello to you").await.is_err() {
                        break;
                    }
                }
            }
        }
    });

    let link = worker.dial(control.local_addr()).await?;
    println!("worker    linked to {} ({})", link.peer().boot, link.peer().role);
    let (mut sender, mut receiver) = link.open(Lane::Request).await?;
    sender.send(1, "hello").await?;
    if let Some(frame) = receiver.next(&CAPS).await? {
        println!("worker    got {:?} after {:?}", frame.body, link.round_trip());
    }
    link.close(CloseReason::Shutdown);

    match stranger.dial(control.local_addr()).await {
        Ok(link) => return Err(format!("a stranger was let in: {link:?}").into()),
        Err(error) => println!("stranger  refused: {error}"),
    }

    for endpoint in [&control, &worker, &stranger] {
        endpoint.close(CloseReason::Shutdown);
        endpoint.wait_idle().await;
    }
    server.await?;
    Ok(())
}
